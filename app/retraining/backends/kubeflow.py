"""The orchestrator Kubeflow Pipelines: the pipeline of docker/kubeflow, through the REST API of its server (v2beta1).

A pipeline run is found by its name, which has our run's id, because Kubeflow chooses its own ids. There may be two of
one name, if the server did not list a run that it had just accepted. Each step still takes effect once: the second
pipeline finds it done, or repeats it with the same result and the same event.
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
"""The compiled pipeline, sent with each request, so that it need not be uploaded."""

_RUNS = "/apis/v2beta1/runs"
_STATES: dict[str, Any] = {"SUCCEEDED": "done", "FAILED": "failed", "CANCELED": "failed", "SKIPPED": "failed"}
_REMEDY = "Follow docker/kubeflow/README.md, which names the settings."


class Kubeflow:
    """The Kubeflow at HINDSIGHT_KUBEFLOW_URL. Raises `SetupError` if the URL is not set."""

    name = "Kubeflow"

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not settings.kubeflow_url:
            raise SetupError("HINDSIGHT_RETRAINING_BACKEND is kubeflow, and HINDSIGHT_KUBEFLOW_URL is empty.", _REMEDY)
        self._settings = settings
        self._url = settings.kubeflow_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._experiment = {"experiment_id": settings.kubeflow_experiment} if settings.kubeflow_experiment else {}

    async def find(self, run_id: str) -> RemoteJob | None:
        """Return the oldest pipeline run of this run's name, and its current step."""
        predicate = {"key": "display_name", "operation": "EQUALS", "string_value": _run_name(run_id)}
        query = {"filter": json.dumps({"predicates": [predicate]}), "sort_by": "created_at asc", "page_size": 1}
        runs = read_json_object(await self._send("GET", _RUNS, params=query | self._experiment)).get("runs")
        if not runs:
            return None
        status = str(runs[0].get("state", "PENDING"))
        state, key = _STATES.get(status, "under way"), str(runs[0]["run_id"])
        return RemoteJob(state, await self._step(key) if state == "under way" else None, status.lower(), key)

    async def _step(self, key: str) -> str | None:
        details = read_json_object(await self._send("GET", f"{_RUNS}/{key}")).get("run_details") or {}
        tasks = details.get("task_details", ())
        running = {task.get("display_name") for task in tasks if task.get("state") == "RUNNING"}
        return next((step for step in STEPS if step in running), None)

    async def submit(self, run: Run) -> None:
        """Start the pipeline. Raises `SetupError` if this installation has none."""
        body = {
            "display_name": _run_name(run.id),
            "description": f"Retrains {run.task}: {run.triggered.trigger}.",
            "pipeline_spec": _pipeline_request(PIPELINE, self._settings.kubeflow_image),
            "runtime_config": {"parameters": {"task": run.task, "run_id": run.id}},
            **self._experiment,
        }
        await self._send("POST", _RUNS, json=body)

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """Terminate the pipeline run."""
        await self._send("POST", f"{_RUNS}/{job.key}:terminate", expected=(404,))

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Return the URL of the pipeline run's page."""
        return f"{self._url}/#/runs/details/{job.key}"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, method: str, path: str, expected: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        return await send_request(self._http, method, path, _REMEDY, expected, headers=self._headers(), **options)

    def _headers(self) -> dict[str, str]:
        """Return the credentials. A token file is read each time, because Kubernetes replaces it."""
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
    """Return the compiled pipeline in the form of Kubeflow's API: its steps in this image, and their resources."""
    try:
        spec, platform = yaml.safe_load_all(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{path} can't be read: {error}.", _REMEDY) from error
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return {"pipeline_spec": spec, "platform_spec": platform}
