"""A backend over an orchestrator elsewhere: a run's steps are its job, which is asked for once, watched, and ended.

The job outlives the API that asked for it. It carries the run's id, so whoever tends the run next finds it again.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx

from app.errors import SetupError, Unavailable
from app.registry.runs import Run
from app.retraining.backends.backend import RunCrashed

TIMEOUT_SECONDS = 5.0
"""Of a request: every task is looked at well within the time that a lease lasts."""
_LOG_GRACE_SECONDS = 60.0
"""After a job's end the log has surely been read so far as its steps have written."""
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class RemoteJob:
    """What an orchestrator says of a run's steps."""

    state: Literal["under way", "done", "failed"]
    step: str | None = None
    """The one that is being done."""
    status: str = ""
    """The orchestrator's own word for its state."""
    key: str = ""
    """The orchestrator's own name for the job."""


class Orchestrator(Protocol):
    """What runs jobs. Its methods raise `Unavailable` for what passes, and `SetupError` for what must be put right."""

    name: str

    async def find(self, run_id: str) -> RemoteJob | None:
        """The run's job; None if there is none yet."""

    async def submit(self, run: Run) -> None:
        """Ask for the run's job. Asked twice there is still one of them that does the steps."""

    async def end(self, run_id: str, job: RemoteJob) -> None:
        """End a job that is under way."""

    def job_url(self, run_id: str, job: RemoteJob) -> str:
        """Where a person finds the job and its log."""

    async def close(self) -> None:
        """Close its connections."""


class RemoteBackend:
    """Tends the jobs of runs."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._done_since: dict[str, float] = {}
        """When a job was first seen to be done whose run isn't, by the monotonic clock."""
        self.progress: dict[str, dict[str, Any]] = {}

    @property
    def run_ids(self) -> set[str]:
        """The ids of the runs that were tended here."""
        return set(self.progress)

    async def ensure_running(self, run: Run) -> None:
        """Have the run's job run. Raises `Crashed`, `Unavailable`, `SetupError`."""
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
            case "done":  # unless the log can't be read, its word comes soon
                since = self._done_since.setdefault(run.id, time.monotonic())
                if time.monotonic() - since > _LOG_GRACE_SECONDS:
                    raise RunCrashed(
                        f"{self._orchestrator.name} has done every step, and the log has no word of this one:"
                        f" see {self._orchestrator.job_url(run.id, job)}"
                    )

    async def stop(self, run_id: str) -> None:
        """End the run's job, if it is under way. Raises `Unavailable`, `SetupError`: then it is still tended."""
        job = await self._orchestrator.find(run_id)
        if job is not None and job.state == "under way":
            await self._orchestrator.end(run_id, job)
        await self.detach(run_id)

    async def detach(self, run_id: str) -> None:
        """Forget the run. Its job, if there is more to do for it, goes on."""
        self.progress.pop(run_id, None)
        self._done_since.pop(run_id, None)

    async def close(self) -> None:
        """Forget all runs; their jobs go on."""
        for run_id in self.run_ids:
            await self.detach(run_id)
        await self._orchestrator.close()


async def send_request(
    http: httpx.AsyncClient, method: str, path: str, remedy: str, expected: Collection[int] = (), **sent: Any
) -> httpx.Response:
    """An answer, which is a success or of an expected status.

    Raises `Unavailable` for what passes, and `SetupError` with the remedy for every other refusal.
    """
    try:
        answer = await http.request(method, path, **sent)
    except httpx.HTTPError as error:
        raise Unavailable(f"{http.base_url} can't be reached: {error or type(error).__name__}") from error
    if answer.is_success or answer.status_code in expected:
        return answer
    said = f"{method} {answer.url} answers {answer.status_code}: {answer.text[:500]}"
    if answer.is_server_error or answer.status_code == _TOO_MANY_REQUESTS:
        raise Unavailable(said)
    raise SetupError(said, remedy)


def read_json_object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises `Unavailable` for anything else: a proxy's page, say."""
    with suppress(ValueError):
        if isinstance(said := answer.json(), dict):
            return said
    raise Unavailable(f"{answer.url} answers no JSON object: {answer.text[:200]}")


def _progress(run: Run, doing: str, step: str | None = None) -> dict[str, Any]:
    return {"step": step or run.step, "doing": doing, "done": 0, "of": None}
