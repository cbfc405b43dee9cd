"""Kubeflow Pipelines as the orchestrator: the pipeline of docker/kubeflow, by the REST API of its server (v2beta1).

A pipeline's run is found again by its name, which holds the run's id: Kubeflow has no ids of ours. Should there be two
of one name, since a server did not list what it had just taken, each step is done once all the same: who comes to it
second finds it done, or does it again with the same outcome, said by the same event.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import yaml

from app.errors import SetupError
from app.registry.runs import STEPS, Run
from app.retraining.backends.remote import TIMEOUT_SECONDS, RemoteJob, read_json_object, send_request
from app.settings import CHECKOUT, Settings

PIPELINE = CHECKOUT / "docker" / "kubeflow" / "pipeline.yaml"
"""The compiled pipeline, which goes with each request: there is none to upload first."""

_RUNS = "/apis/v2beta1/runs"
_STATES: dict[str, Any] = {"SUCCEEDED": "done", "FAILED": "failed", "CANCELED": "failed", "SKIPPED": "failed"}
_REMEDY = "docker/kubeflow/README.md says what Kubeflow needs, and which settings name it."


class Kubeflow:
    """The Kubeflow at HINDSIGHT_KUBEFLOW_URL. Raises `SetupError` where that isn't set."""

    name = "Kubeflow"

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not settings.kubeflow_url:
            raise SetupError("HINDSIGHT_RETRAINING_BACKEND is kubeflow, and HINDSIGHT_KUBEFLOW_URL is empty.", _REMEDY)
        self._settings = settings
        self._url = settings.kubeflow_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._experiment = {"experiment_id": settings.kubeflow_experiment} if settings.kubeflow_experiment else {}

    async def find(self, run_id: str) -> RemoteJob | None:
        """The oldest pipeline run of this run's name, and the step that it is at."""
        named = {"key": "display_name", "operation": "EQUALS", "string_value": _run_name(run_id)}
        query = {"filter": json.dumps({"predicates": [named]}), "sort_by": "created_at asc", "page_size": 1}
        found = read_json_object(await self._ask("GET", _RUNS, params=query | self._experiment)).get("runs")
        if not found:
            return None
        said = str(found[0].get("state", "PENDING"))
        state, key = _STATES.get(said, "under way"), str(found[0]["run_id"])
        return RemoteJob(state, await self._step(key) if state == "under way" else None, said.lower(), key)

    async def _step(self, key: str) -> str | None:
        details = read_json_object(await self._ask("GET", f"{_RUNS}/{key}")).get("run_details") or {}
        running = {one.get("display_name") for one in details.get("task_details", ()) if one.get("state") == "RUNNING"}
        return next((step for step in STEPS if step in running), None)

    async def submit(self, run: Run) -> None:
        """Have the pipeline run. Raises `SetupError` where this installation has none."""
        body = {
            "display_name": _run_name(run.id),
            "description": f"Retrains {run.task}: {run.triggered.trigger}.",
            "pipeline_spec": _pipeline_request(PIPELINE, self._settings.kubeflow_image),
            "runtime_config": {"parameters": {"task": run.task, "run_id": run.id}},
            **self._experiment,
        }
        await self._ask("POST", _RUNS, json=body)

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """Terminate the pipeline's run."""
        await self._ask("POST", f"{_RUNS}/{job.key}:terminate", expected=(404,))

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Its page."""
        return f"{self._url}/#/runs/details/{job.key}"

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, expected: tuple[int, ...] = (), **sent: Any) -> httpx.Response:
        return await send_request(self._http, method, path, _REMEDY, expected, headers=self._headers(), **sent)

    def _headers(self) -> dict[str, str]:
        """Who asks. A token in a file is read each time: Kubernetes renews it there."""
        token, file = self._settings.kubeflow_token, self._settings.kubeflow_token_file
        if token is not None:
            return {"Authorization": f"Bearer {token.get_secret_value()}"}
        if file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {file.read_text().strip()}"}
        except OSError as error:
            raise SetupError(f"HINDSIGHT_KUBEFLOW_TOKEN_FILE can't be read: {error}.", _REMEDY) from error


def _run_name(run_id: str) -> str:
    return f"hindsight-{run_id}"


def _pipeline_request(path: Path, image: str) -> dict[str, Any]:
    """The compiled pipeline as Kubeflow's API takes it: what runs, in this image, and what Kubernetes gives to it."""
    try:
        spec, platform = yaml.safe_load_all(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{path} can't be read: {error}.", _REMEDY) from error
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return {"pipeline_spec": spec, "platform_spec": platform}
