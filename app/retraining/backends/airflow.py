"""The orchestrator Airflow 3: the DAG of docker/airflow, triggered and watched through the REST API, version 2.

A DAG run's id is the run's id, so a repeated trigger starts no second DAG run.
"""

from typing import Any
from urllib.parse import quote

import httpx

from app.errors import SetupError
from app.registry.runs import Run
from app.retraining.backends.remote import TIMEOUT_SECONDS, RemoteJob, read_json_object, send_request
from app.settings import Settings

DAG_ID = "hindsight_retraining"

_STATES: dict[str, Any] = {"success": "done", "failed": "failed"}
_REMEDY = "Follow docker/airflow/README.md, which names the settings."


class Airflow:
    """The Airflow at HINDSIGHT_AIRFLOW_URL. Raises `SetupError` if the URL or the credentials are not set."""

    name = "Airflow"

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not settings.airflow_url:
            raise SetupError("HINDSIGHT_RETRAINING_BACKEND is airflow, and HINDSIGHT_AIRFLOW_URL is empty.", _REMEDY)
        if settings.airflow_token is None and (settings.airflow_user is None or settings.airflow_password is None):
            raise SetupError("There are no credentials for Airflow: neither a token, nor a user and password.", _REMEDY)
        self._settings = settings
        self._url = settings.airflow_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._token = settings.airflow_token and settings.airflow_token.get_secret_value()

    async def find(self, run_id: str) -> RemoteJob | None:
        """Return the DAG run of this id."""
        response = await self._send("GET", _runs_path(run_id), expected=(404,))
        if response.status_code == 404:
            return None
        status = str(read_json_object(response)["state"])
        state = _STATES.get(status, "under way")
        return RemoteJob(state, await self._step(run_id) if state == "under way" else None, status)

    async def _step(self, run_id: str) -> str | None:
        """Return the task that is running, or waits for its retry."""
        tasks = read_json_object(await self._send("GET", f"{_runs_path(run_id)}/taskInstances"))["task_instances"]
        started = [task for task in tasks if task["start_date"] and task["state"] != "success"]
        return next((str(task["task_id"]) for task in started), None)

    async def submit(self, run: Run) -> None:
        """Trigger the DAG, unless it was triggered for this run."""
        body = {"dag_run_id": run.id, "logical_date": None, "conf": {"task": run.task, "run_id": run.id}}
        await self._send("POST", _runs_path(), expected=(409,), json=body)

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """Set the DAG run to failed, so that Airflow ends its task."""
        await self._send("PATCH", _runs_path(run_id), expected=(404,), json={"state": "failed"})

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Return the URL of the DAG run's page."""
        return f"{self._url}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, method: str, path: str, expected: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        """Send a request. An expired token is replaced if there is a password."""
        is_fixed = self._settings.airflow_token is not None
        for may_renew in (True, False):
            if self._token is None:
                self._token = await self._new_token()
            headers = {"Authorization": f"Bearer {self._token}"}
            expired = (401,) if may_renew and not is_fixed else ()
            response = await send_request(
                self._http, method, path, _REMEDY, (*expected, *expired), headers=headers, **options
            )
            if response.status_code != 401:
                break
            self._token = None
        return response

    async def _new_token(self) -> str:
        user, password = self._settings.airflow_user, self._settings.airflow_password
        assert user is not None and password is not None
        body = {"username": user, "password": password.get_secret_value()}
        return str(
            read_json_object(await send_request(self._http, "POST", "/auth/token", _REMEDY, json=body))["access_token"]
        )


def _runs_path(run_id: str | None = None) -> str:
    runs = f"/api/v2/dags/{DAG_ID}/dagRuns"
    return runs if run_id is None else f"{runs}/{quote(run_id, safe='')}"
