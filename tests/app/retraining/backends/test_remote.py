"""The job of a run: submitted once, watched, ended with the run, and left to other replicas."""

from collections.abc import Callable

import httpx
import pytest

from app.errors import SetupError, Unavailable
from app.registry.runs import Run
from app.retraining.backends import remote
from app.retraining.backends.backend import RunCrashed
from app.retraining.backends.remote import RemoteBackend, RemoteJob, read_json_object, send_request
from tests.app.retraining.backends.test_local import make_run


class FakeOrchestrator:
    """An orchestrator in memory."""

    name = "Orchestra"

    def __init__(self) -> None:
        self.jobs: dict[str, RemoteJob] = {}
        self.submitted: list[str] = []
        self.ended: list[str] = []
        self.fault: Exception | None = None

    async def find(self, run_id: str) -> RemoteJob | None:
        if self.fault is not None:
            raise self.fault
        return self.jobs.get(run_id)

    async def submit(self, run: Run) -> None:
        self.submitted.append(run.id)
        self.jobs[run.id] = RemoteJob("under way", status="queued")

    async def end(self, run_id: str, job: RemoteJob) -> None:
        self.ended.append(run_id)

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        return f"http://orchestra/{run_id}"

    async def close(self) -> None:
        pass


@pytest.fixture
def jobs() -> FakeOrchestrator:
    return FakeOrchestrator()


@pytest.fixture
def backend(jobs: FakeOrchestrator) -> RemoteBackend:
    return RemoteBackend(jobs)


async def test_a_job_is_submitted_once_over_all_replicas(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    await backend.ensure_running(make_run())
    await backend.ensure_running(make_run())
    await backend.close()
    await RemoteBackend(jobs).ensure_running(make_run())
    assert (jobs.submitted, jobs.ended) == (["r"], [])


async def test_the_progress_of_a_run_is_the_orchestrators_current_step(
    jobs: FakeOrchestrator, backend: RemoteBackend
) -> None:
    await backend.ensure_running(make_run())
    assert backend.progress["r"]["step"] == "dataset"
    jobs.jobs["r"] = RemoteJob("under way", "train", "running")
    await backend.ensure_running(make_run())
    assert backend.progress["r"] == {"step": "train", "doing": "running in Orchestra", "done": 0, "of": None}
    assert backend.run_ids == {"r"}


@pytest.mark.parametrize("fault", [Unavailable("it is away"), SetupError("it has no DAG", "Deploy it.")], ids=str)
async def test_the_progress_of_a_waiting_run_is_the_orchestrators_error(
    jobs: FakeOrchestrator, backend: RemoteBackend, fault: Exception
) -> None:
    jobs.fault = fault
    with pytest.raises(type(fault)):
        await backend.ensure_running(make_run())
    assert backend.progress["r"]["doing"] in ("it is away", "it has no DAG")
    jobs.fault = None
    await backend.ensure_running(make_run())
    assert jobs.submitted == ["r"]


async def test_a_failed_job_crashes_the_run_with_its_url(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    jobs.jobs["r"] = RemoteJob("failed", status="failed")
    with pytest.raises(RunCrashed, match="Orchestra gave it up: see http://orchestra/r"):
        await backend.ensure_running(make_run())


async def test_a_finished_job_without_an_event_crashes_the_run_after_the_grace_time(
    jobs: FakeOrchestrator, backend: RemoteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.jobs["r"] = RemoteJob("done", status="success")
    await backend.ensure_running(make_run())
    await backend.ensure_running(make_run())
    monkeypatch.setattr(remote, "_LOG_GRACE_SECONDS", 0.0)
    with pytest.raises(RunCrashed, match="no word of this one: see http://orchestra/r"):
        await backend.ensure_running(make_run())


async def test_stopping_a_run_ends_its_job_and_forgets_it(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    await backend.ensure_running(make_run())
    await backend.stop("r")
    assert (jobs.ended, backend.run_ids, backend.progress) == (["r"], set(), {})


@pytest.mark.parametrize("state", ["done", "failed"])
async def test_stopping_a_run_leaves_a_finished_job_alone(
    jobs: FakeOrchestrator, backend: RemoteBackend, state: str
) -> None:
    jobs.jobs["r"] = RemoteJob("done" if state == "done" else "failed")
    await backend.stop("r")
    assert jobs.ended == []


async def test_a_run_that_could_not_be_stopped_is_still_tracked(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    await backend.ensure_running(make_run())
    jobs.fault = Unavailable("it is away")
    with pytest.raises(Unavailable):
        await backend.stop("r")
    assert backend.run_ids == {"r"}


async def test_the_job_of_a_detached_run_continues(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    await backend.ensure_running(make_run())
    await backend.detach("r")
    assert (jobs.ended, backend.run_ids) == ([], set())


async def test_stopping_an_unknown_run_does_nothing(jobs: FakeOrchestrator, backend: RemoteBackend) -> None:
    await backend.stop("unknown")
    assert jobs.ended == []


def make_client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://orchestra", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_temporary_status_is_a_transient_error(status: int) -> None:
    async with make_client(lambda _: httpx.Response(status)) as client:
        with pytest.raises(Unavailable, match=str(status)):
            await send_request(client, "GET", "/runs", "-")


async def test_an_unreachable_server_is_a_transient_error() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    async with make_client(away) as client:
        with pytest.raises(Unavailable, match=r"http://orchestra can't be reached: no route"):
            await send_request(client, "GET", "/runs", "-")


async def test_other_error_statuses_are_reported_with_a_remedy() -> None:
    async with make_client(lambda _: httpx.Response(403, text="you may not")) as client:
        with pytest.raises(SetupError, match=r"(?s)403: you may not.*Ask ada"):
            await send_request(client, "GET", "/runs", "Ask ada.")
        assert (await send_request(client, "GET", "/runs", "-", expected=(403,))).status_code == 403


@pytest.mark.parametrize("page", ["<html>", "[]", "7"])
async def test_a_response_without_a_json_object_is_a_transient_error(page: str) -> None:
    async with make_client(lambda _: httpx.Response(200, text=page)) as client:
        with pytest.raises(Unavailable, match="no JSON object"):
            read_json_object(await send_request(client, "GET", "/runs", "-"))
