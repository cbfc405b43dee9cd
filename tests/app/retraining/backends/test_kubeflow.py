"""Requests to the REST API of Kubeflow Pipelines, v2beta1.

The server is a fake of a few lines: there is no cluster here. What it answers has the form that Kubeflow's own client
(kfp-server-api 2.17) reads.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.errors import SetupError
from app.retraining.backends import kubeflow
from app.retraining.backends.backend import RunCrashed
from app.retraining.backends.kubeflow import Kubeflow
from app.retraining.backends.remote import RemoteBackend, RemoteJob
from app.settings import Settings
from tests.app.retraining.backends.test_local import make_run

RUNS = "/apis/v2beta1/runs"


class FakeKubeflow:
    """Pipeline runs in memory, in the order of their creation."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        method, path = request.method, request.url.path
        match method, path.removeprefix(RUNS).partition(":"):
            case "POST", ("", _, _):
                self.runs.append(json.loads(request.content) | {"run_id": f"k{len(self.runs)}"})
                return httpx.Response(200, json=self.runs[-1])
            case "POST", (key, _, "terminate"):
                self._of(key)["state"] = "CANCELING"
                return httpx.Response(200, json={})
            case "GET", ("", _, _):
                [wanted] = json.loads(request.url.params["filter"])["predicates"]
                assert (wanted["key"], wanted["operation"]) == ("display_name", "EQUALS")
                found = [one for one in self.runs if one["display_name"] == wanted["string_value"]]
                return httpx.Response(200, json={"runs": found} if found else {})  # it leaves out what is empty
            case _, (key, _, _):
                return httpx.Response(200, json=self._of(key))

    def _of(self, path: str) -> dict[str, Any]:
        return next(one for one in self.runs if f"/{one['run_id']}" == path)


@pytest.fixture
def server() -> FakeKubeflow:
    return FakeKubeflow()


def make_kubeflow(server: FakeKubeflow, **settings: Any) -> Kubeflow:
    return Kubeflow(Settings(kubeflow_url="http://ml-pipeline:8888", **settings), httpx.MockTransport(server))


async def test_a_run_is_submitted_with_the_compiled_pipeline(server: FakeKubeflow) -> None:
    await make_kubeflow(server, kubeflow_image="ours/hindsight:7").submit(make_run())
    [run] = server.runs
    assert run["display_name"] == "hindsight-r"
    assert run["runtime_config"] == {"parameters": {"task": "scales", "run_id": "r"}}
    spec = run["pipeline_spec"]["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "hindsight-retraining"
    images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
    assert images == {"ours/hindsight:7"}
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]


async def test_a_pipeline_run_is_found_by_its_name(server: FakeKubeflow) -> None:
    await RemoteBackend(make_kubeflow(server)).ensure_running(make_run())
    await RemoteBackend(make_kubeflow(server)).ensure_running(make_run())
    await RemoteBackend(make_kubeflow(server)).ensure_running(make_run("s"))
    assert [run["display_name"] for run in server.runs] == ["hindsight-r", "hindsight-s"]


async def test_runs_belong_to_the_configured_experiment(server: FakeKubeflow) -> None:
    one = make_kubeflow(server, kubeflow_experiment="e-7")
    await RemoteBackend(one).ensure_running(make_run())
    assert server.runs[0]["experiment_id"] == "e-7"
    assert server.requests[0].url.params["experiment_id"] == "e-7"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("PENDING", "under way"),
        ("RUNNING", "under way"),
        ("CANCELING", "under way"),
        ("SUCCEEDED", "done"),
        ("FAILED", "failed"),
        ("CANCELED", "failed"),
    ],
)
async def test_the_state_of_the_job_follows_the_pipeline_run(server: FakeKubeflow, said: str, state: Any) -> None:
    one = make_kubeflow(server)
    await one.submit(make_run())
    server.runs[0]["state"] = said
    found = await one.find("r")
    assert found == RemoteJob(state, None, said.lower(), "k0")


async def test_the_current_step_is_the_running_task(server: FakeKubeflow) -> None:
    one = make_kubeflow(server)
    await one.submit(make_run())
    tasks = [("root", "RUNNING"), ("dataset", "SUCCEEDED"), ("train", "RUNNING"), (None, "RUNNING")]
    details = [{"display_name": name, "state": state} for name, state in tasks]
    server.runs[0] |= {"state": "RUNNING", "run_details": {"task_details": details}}
    found = await one.find("r")
    assert found is not None
    assert found.step == "train"


async def test_stopping_a_run_terminates_its_pipeline_run(server: FakeKubeflow) -> None:
    backend = RemoteBackend(make_kubeflow(server))
    await backend.ensure_running(make_run())
    await backend.stop("r")
    assert server.runs[0]["state"] == "CANCELING"


async def test_a_failed_pipeline_run_crashes_the_run_with_the_url_of_its_page(server: FakeKubeflow) -> None:
    backend = RemoteBackend(make_kubeflow(server))
    await backend.ensure_running(make_run())
    server.runs[0]["state"] = "FAILED"
    with pytest.raises(RunCrashed, match=r"http://ml-pipeline:8888/#/runs/details/k0$"):
        await backend.ensure_running(make_run())


async def test_a_token_file_is_read_for_each_request(server: FakeKubeflow, tmp_path: Path) -> None:
    path = tmp_path / "token"
    one = make_kubeflow(server, kubeflow_token_file=path)
    for token in ("first", "second"):
        path.write_text(f"{token}\n")
        await one.find("r")
    path.unlink()
    with pytest.raises(SetupError, match="HINDSIGHT_KUBEFLOW_TOKEN_FILE"):
        await one.find("r")
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


async def test_a_configured_token_is_sent(server: FakeKubeflow) -> None:
    await make_kubeflow(server, kubeflow_token=SecretStr("given")).find("r")
    assert server.requests[0].headers["Authorization"] == "Bearer given"


async def test_a_missing_pipeline_file_is_reported_with_a_remedy(
    server: FakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow, "PIPELINE", tmp_path / "pipeline.yaml")
    with pytest.raises(SetupError, match=r"pipeline\.yaml can't be read"):
        await make_kubeflow(server).submit(make_run())
