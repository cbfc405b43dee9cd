"""The interface of backends, which run the steps of a run."""

from collections.abc import Mapping
from typing import Any, Protocol

from app.registry.runs import Run


class RunCrashed(Exception):
    """A run's steps failed without an event in the log. The message says where to look."""


class Backend(Protocol):
    """Runs the steps of runs: `python -m app.retraining`.

    Its methods are idempotent: any replica of the API may continue a run, even after a restart.
    """

    @property
    def progress(self) -> Mapping[str, dict[str, Any]]:
        """The progress of each tracked run: `step`, `doing`, `done` and `of`, as far as known."""

    @property
    def run_ids(self) -> set[str]:
        """The ids of the tracked runs: those that were started here, and neither stopped nor detached since."""

    async def ensure_running(self, run: Run) -> None:
        """Start the run's steps unless they run. Raises `RunCrashed`; `Unavailable` and `SetupError` to retry."""

    async def stop(self, run_id: str) -> None:
        """Stop the steps of a run that was cancelled or took too long. Raises `Unavailable`, `SetupError`."""

    async def detach(self, run_id: str) -> None:
        """Forget a run whose steps are done, or that another replica has taken over."""

    async def close(self) -> None:
        """Forget all runs, because this replica ends."""


async def clean_up(backend: Backend, runs: Mapping[str, Run]) -> None:
    """Detach runs whose steps are done, and stop runs that were cancelled or failed: their steps may still run.

    Raises `Unavailable`, `SetupError` to retry.
    """
    for run_id in backend.run_ids & runs.keys():
        run = runs[run_id]
        if run.ended is not None and run.ended.outcome in ("cancelled", "failed"):
            await backend.stop(run_id)
        elif run.step in (None, "rollout"):
            await backend.detach(run_id)
