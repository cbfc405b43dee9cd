"""Airflow 3 as the orchestrator: the DAG of docker/airflow, triggered and watched by its REST API, version 2.

A DAG run's id is the run's id: what is triggered twice is one DAG run.
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
_REMEDY = "docker/airflow/README.md says what Airflow needs, and which settings name it."


class Airflow:
    """The Airflow at HINDSIGHT_AIRFLOW_URL. Raises `SetupError` where that, or what proves who asks, isn't set."""

    name = "Airflow"

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not settings.airflow_url:
            raise SetupError("HINDSIGHT_RETRAINING_BACKEND is airflow, and HINDSIGHT_AIRFLOW_URL is empty.", _REMEDY)
        if settings.airflow_token is None and (settings.airflow_user is None or settings.airflow_password is None):
            raise SetupError("Nothing proves to Airflow who asks: there is no token, nor user and password.", _REMEDY)
        self._settings = settings
        self._url = settings.airflow_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._token = settings.airflow_token and settings.airflow_token.get_secret_value()

    async def find(self, run_id: str) -> RemoteJob | None:
        """The DAG run of this id."""
        answer = await self._ask("GET", _runs_path(run_id), expected=(404,))
        if answer.status_code == 404:
            return None
        said = str(read_json_object(answer)["state"])
        state = _STATES.get(said, "under way")
        return RemoteJob(state, await self._step(run_id) if state == "under way" else None, said)

    async def _step(self, run_id: str) -> str | None:
        """The task that is being done, or waits to be done again."""
        tasks = read_json_object(await self._ask("GET", f"{_runs_path(run_id)}/taskInstances"))["task_instances"]
        begun = [one for one in tasks if one["start_date"] and one["state"] != "success"]
        return next((str(one["task_id"]) for one in begun), None)

    async def submit(self, run: Run) -> None:
        """Trigger the DAG, unless that has been done."""
        body = {"dag_run_id": run.id, "logical_date": None, "conf": {"task": run.task, "run_id": run.id}}
        await self._ask("POST", _runs_path(), expected=(409,), json=body)

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """Set the DAG run to failed: Airflow ends its task."""
        await self._ask("PATCH", _runs_path(run_id), expected=(404,), json={"state": "failed"})

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Its page."""
        return f"{self._url}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}"

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, expected: tuple[int, ...] = (), **sent: Any) -> httpx.Response:
        """An answer; a token that has run out is replaced by a new one, where there is a password."""
        given = self._settings.airflow_token is not None
        for again in (True, False):
            if self._token is None:
                self._token = await self._new_token()
            headers = {"Authorization": f"Bearer {self._token}"}
            renewed = (401,) if again and not given else ()
            answer = await send_request(
                self._http, method, path, _REMEDY, (*expected, *renewed), headers=headers, **sent
            )
            if answer.status_code != 401:
                break
            self._token = None
        return answer

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
