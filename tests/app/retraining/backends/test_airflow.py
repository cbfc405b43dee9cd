"""Requests to Airflow's REST API, against a fake server. tests/integration has a real one."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.errors import SetupError
from app.retraining.backends.airflow import Airflow
from app.retraining.backends.backend import RunCrashed
from app.retraining.backends.remote import RemoteBackend, RemoteJob
from app.settings import Settings
from tests.app.retraining.backends.test_local import make_run

RUNS = "/api/v2/dags/hindsight_retraining/dagRuns"


class FakeAirflow:
    """DAG runs in memory, for requests with a valid token."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.tasks: list[dict[str, Any]] = []
        self.tokens = 0
        """The number of issued tokens; the last one is valid."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        said = json.loads(request.content) if request.content else {}
        if request.url.path == "/auth/token":
            return self._let_in(said)
        if request.headers["Authorization"] not in (f"Bearer token-{self.tokens}", "Bearer given"):
            return httpx.Response(401, json={"detail": "Invalid token"})
        key, _, tasks = request.url.path.removeprefix(RUNS).removeprefix("/").partition("/")
        if tasks:
            return httpx.Response(200, json={"task_instances": self.tasks})
        if request.method == "POST":
            return self._trigger(said)
        if key not in self.runs:
            return httpx.Response(404)
        self.runs[key] |= said  # what is patched
        return httpx.Response(200, json=self.runs[key])

    def _let_in(self, said: dict[str, Any]) -> httpx.Response:
        if said != {"username": "ada", "password": "secret"}:
            return httpx.Response(401, json={"detail": "Invalid credentials"})
        self.tokens += 1
        return httpx.Response(201, json={"access_token": f"token-{self.tokens}"})

    def _trigger(self, said: dict[str, Any]) -> httpx.Response:
        if said["dag_run_id"] in self.runs:
            return httpx.Response(409)
        self.runs[said["dag_run_id"]] = said | {"state": "queued"}
        return httpx.Response(200, json=said)


@pytest.fixture
def server() -> FakeAirflow:
    return FakeAirflow()


def make_airflow(server: FakeAirflow, **settings: Any) -> Airflow:
    values: dict[str, Any] = {"airflow_user": "ada", "airflow_password": SecretStr("secret")} | settings
    return Airflow(Settings(airflow_url="http://airflow:8080/", **values), httpx.MockTransport(server))


async def test_a_run_is_triggered_once_with_its_id(server: FakeAirflow) -> None:
    one = make_airflow(server)
    assert await one.find("r") is None
    await one.submit(make_run())
    await make_airflow(server).submit(make_run())
    assert server.runs == {
        "r": {
            "dag_run_id": "r",
            "logical_date": None,
            "conf": {"task": "scales", "run_id": "r"},
            "state": "queued",
        }
    }


async def test_the_current_step_is_the_started_task_without_success(server: FakeAirflow) -> None:
    one = make_airflow(server)
    await one.submit(make_run())
    server.runs["r"]["state"] = "running"
    server.tasks = [
        {"task_id": "dataset", "start_date": "2026-01-01T00:00:00Z", "state": "success"},
        {"task_id": "train", "start_date": "2026-01-01T00:01:00Z", "state": "up_for_retry"},
        {"task_id": "evaluate", "start_date": None, "state": None},
    ]
    assert await one.find("r") == RemoteJob("under way", "train", "running")


@pytest.mark.parametrize(("said", "state"), [("queued", "under way"), ("success", "done"), ("failed", "failed")])
async def test_the_state_of_the_job_follows_the_dag_run(server: FakeAirflow, said: str, state: Any) -> None:
    one = make_airflow(server)
    await one.submit(make_run())
    server.runs["r"]["state"] = said
    assert await one.find("r") == RemoteJob(state, None, said)


async def test_stopping_a_run_sets_its_dag_run_to_failed(server: FakeAirflow) -> None:
    backend = RemoteBackend(make_airflow(server))
    await backend.ensure_running(make_run())
    await backend.stop("r")
    assert server.runs["r"]["state"] == "failed"


async def test_a_failed_dag_run_crashes_the_run_with_the_url_of_its_page(server: FakeAirflow) -> None:
    backend = RemoteBackend(make_airflow(server))
    await backend.ensure_running(make_run())
    server.runs["r"]["state"] = "failed"
    with pytest.raises(RunCrashed, match=r"http://airflow:8080/dags/hindsight_retraining/runs/r$"):
        await backend.ensure_running(make_run())


async def test_an_expired_token_is_replaced(server: FakeAirflow) -> None:
    one = make_airflow(server)
    await one.submit(make_run())
    await one.find("r")
    assert server.tokens == 1
    server.tokens += 1  # the one that it has is no longer good
    assert await one.find("r") is not None
    assert server.tokens == 3


async def test_a_configured_token_is_sent(server: FakeAirflow) -> None:
    one = make_airflow(server, airflow_token=SecretStr("given"))
    await one.submit(make_run())
    assert (list(server.runs), server.tokens) == (["r"], 0)


@pytest.mark.parametrize(
    "settings", [{"airflow_password": SecretStr("wrong")}, {"airflow_token": SecretStr("wrong")}], ids=str
)
async def test_refused_credentials_are_reported(server: FakeAirflow, settings: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=r"(?s)401.*docker/airflow/README.md") as said:
        await make_airflow(server, **settings).submit(make_run())
    assert "wrong" not in str(said.value)


async def test_a_missing_dag_is_reported_with_a_remedy() -> None:
    def without(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="DAG with dag_id: 'hindsight_retraining' not found")

    one = Airflow(
        Settings(airflow_url="http://airflow:8080", airflow_token=SecretStr("given")), httpx.MockTransport(without)
    )
    with pytest.raises(SetupError, match="'hindsight_retraining' not found"):
        await RemoteBackend(one).ensure_running(make_run())
