"""The backend for remote orchestrators: a run's steps are one job there, which is submitted, watched and ended.

The job outlives the API that submitted it. It carries the run's id, so that any replica finds it again.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx

from app.errors import SetupError, Unavailable, describe
from app.registry.runs import Run
from app.retraining.backends.backend import RunCrashed

TIMEOUT_SECONDS = 5.0
"""Timeout of a request: all tasks must be reconciled well within the duration of a lease."""
_LOG_GRACE_SECONDS = 60.0
"""Time after a job's end in which the events of its steps must have been read from the log."""
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class RemoteJob:
    """The state of a run's job in the orchestrator."""

    state: Literal["under way", "done", "failed"]
    step: str | None = None
    """The current step."""
    status: str = ""
    """The orchestrator's own name of the state."""
    key: str = ""
    """The orchestrator's own id of the job."""


class Orchestrator(Protocol):
    """An orchestrator of jobs. Methods raise `Unavailable` for transient errors, `SetupError` for permanent ones."""

    name: str

    async def find(self, run_id: str) -> RemoteJob | None:
        """Return the run's job; None if there is none yet."""

    async def submit(self, run: Run) -> None:
        """Submit the run's job. If it is submitted twice, each step is still done once."""

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """End a job that is running."""

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Return the URL of the job's page, with its log."""

    async def close(self) -> None:
        """Close its connections."""


class RemoteBackend:
    """Runs one job for each run."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._done_since: dict[str, float] = {}
        """When a job was first seen to be done although its run isn't, by the monotonic clock."""
        self.progress: dict[str, dict[str, Any]] = {}

    @property
    def run_ids(self) -> set[str]:
        """The ids of the tracked runs."""
        return set(self.progress)

    async def ensure_running(self, run: Run) -> None:
        """Submit the run's job unless there is one. Raises `RunCrashed`, `Unavailable`, `SetupError`."""
        self.progress.setdefault(run.id, _progress(run, f"asks {self._orchestrator.name}"))
        try:
            job = await self._orchestrator.find(run.id)
            if job is None:
                await self._orchestrator.submit(run)
                job = RemoteJob("under way", status="submitted")
        except (Unavailable, SetupError) as error:
            self.progress[run.id] = _progress(run, str(error).splitlines()[0])
            raise
        self.progress[run.id] = _progress(run, f"{job.status} in {self._orchestrator.name}", job.step)
        match job.state:
            case "failed":
                raise RunCrashed(f"{self._orchestrator.name} gave it up: see {self._orchestrator.job_url(run.id, job)}")
            case "done":  # its event is read soon, unless the log can't be read
                since = self._done_since.setdefault(run.id, time.monotonic())
                if time.monotonic() - since > _LOG_GRACE_SECONDS:
                    raise RunCrashed(
                        f"{self._orchestrator.name} has done every step, and the log has no word of this one:"
                        f" see {self._orchestrator.job_url(run.id, job)}"
                    )

    async def stop(self, run_id: str) -> None:
        """End the run's job, if it is running. If it raises `Unavailable` or `SetupError`, the run is still tracked."""
        job = await self._orchestrator.find(run_id)
        if job is not None and job.state == "under way":
            await self._orchestrator.end(run_id, job)
        await self.detach(run_id)

    async def detach(self, run_id: str) -> None:
        """Forget the run. Its job continues."""
        self.progress.pop(run_id, None)
        self._done_since.pop(run_id, None)

    async def close(self) -> None:
        """Forget all runs. Their jobs continue."""
        for run_id in self.run_ids:
            await self.detach(run_id)
        await self._orchestrator.close()


async def send_request(
    http: httpx.AsyncClient, method: str, path: str, remedy: str, expected: Collection[int] = (), **options: Any
) -> httpx.Response:
    """Send a request and return the response, which has a success or an expected status.

    Raises `Unavailable` for transient errors, and `SetupError` with the remedy for all other errors.
    """
    try:
        response = await http.request(method, path, **options)
    except httpx.HTTPError as error:
        raise Unavailable(f"{http.base_url} can't be reached: {describe(error)}") from error
    if response.is_success or response.status_code in expected:
        return response
    message = f"{method} {response.url} answers {response.status_code}: {response.text[:500]}"
    if response.is_server_error or response.status_code == _TOO_MANY_REQUESTS:
        raise Unavailable(message)
    raise SetupError(message, remedy)


def read_json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a response. Raises `Unavailable` for anything else, such as a proxy's page."""
    with suppress(ValueError):
        if isinstance(body := response.json(), dict):
            return body
    raise Unavailable(f"{response.url} answers no JSON object: {response.text[:200]}")


def _progress(run: Run, doing: str, step: str | None = None) -> dict[str, Any]:
    return {"step": step or run.step, "doing": doing, "done": 0, "of": None}
