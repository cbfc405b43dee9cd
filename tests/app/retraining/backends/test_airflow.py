"""What is said to Airflow's REST API. The server here is a fake of a few lines; a real one is in tests/integration."""

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
from tests.app.retraining.backends.test_local import run_of

RUNS = "/api/v2/dags/hindsight_retraining/dagRuns"


class Server:
    """DAG runs in memory, for those who have a token that has not run out."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.tasks: list[dict[str, Any]] = []
        self.tokens = 0
        """How many there were; the last one is good."""

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
def server() -> Server:
    return Server()


def airflow(server: Server, **settings: Any) -> Airflow:
    values: dict[str, Any] = {"airflow_user": "ada", "airflow_password": SecretStr("secret")} | settings
    return Airflow(Settings(airflow_url="http://airflow:8080/", **values), httpx.MockTransport(server))


async def test_a_run_is_triggered_once_with_its_id(server: Server) -> None:
    one = airflow(server)
    assert await one.find("r") is None
    await one.submit(run_of())
    await airflow(server).submit(run_of())
    assert server.runs == {
        "r": {
            "dag_run_id": "r",
            "logical_date": None,
            "conf": {"task": "scales", "run_id": "r"},
            "state": "queued",
        }
    }


async def test_the_step_is_the_task_that_has_begun_and_has_not_succeeded(server: Server) -> None:
    one = airflow(server)
    await one.submit(run_of())
    server.runs["r"]["state"] = "running"
    server.tasks = [
        {"task_id": "dataset", "start_date": "2026-01-01T00:00:00Z", "state": "success"},
        {"task_id": "train", "start_date": "2026-01-01T00:01:00Z", "state": "up_for_retry"},
        {"task_id": "evaluate", "start_date": None, "state": None},
    ]
    assert await one.find("r") == RemoteJob("under way", "train", "running")


@pytest.mark.parametrize(("said", "state"), [("queued", "under way"), ("success", "done"), ("failed", "failed")])
async def test_the_state_of_a_dag_run_is_that_of_the_job(server: Server, said: str, state: Any) -> None:
    one = airflow(server)
    await one.submit(run_of())
    server.runs["r"]["state"] = said
    assert await one.find("r") == RemoteJob(state, None, said)


async def test_a_run_that_is_stopped_is_a_dag_run_that_failed(server: Server) -> None:
    backend = RemoteBackend(airflow(server))
    await backend.ensure_running(run_of())
    await backend.stop("r")
    assert server.runs["r"]["state"] == "failed"


async def test_a_dag_run_that_failed_is_given_up_with_its_page(server: Server) -> None:
    backend = RemoteBackend(airflow(server))
    await backend.ensure_running(run_of())
    server.runs["r"]["state"] = "failed"
    with pytest.raises(RunCrashed, match=r"http://airflow:8080/dags/hindsight_retraining/runs/r$"):
        await backend.ensure_running(run_of())


async def test_a_token_that_has_run_out_is_replaced(server: Server) -> None:
    one = airflow(server)
    await one.submit(run_of())
    await one.find("r")
    assert server.tokens == 1
    server.tokens += 1  # the one that it has is no longer good
    assert await one.find("r") is not None
    assert server.tokens == 3


async def test_a_token_may_be_given(server: Server) -> None:
    one = airflow(server, airflow_token=SecretStr("given"))
    await one.submit(run_of())
    assert (list(server.runs), server.tokens) == (["r"], 0)


@pytest.mark.parametrize(
    "settings", [{"airflow_password": SecretStr("wrong")}, {"airflow_token": SecretStr("wrong")}], ids=str
)
async def test_who_may_not_ask_is_told_so(server: Server, settings: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=r"(?s)401.*docker/airflow/README.md") as said:
        await airflow(server, **settings).submit(run_of())
    assert "wrong" not in str(said.value)


async def test_an_airflow_without_the_dag_is_said_to_be_so() -> None:
    def without(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="DAG with dag_id: 'hindsight_retraining' not found")

    one = Airflow(
        Settings(airflow_url="http://airflow:8080", airflow_token=SecretStr("given")), httpx.MockTransport(without)
    )
    with pytest.raises(SetupError, match="'hindsight_retraining' not found"):
        await RemoteBackend(one).ensure_running(run_of())
