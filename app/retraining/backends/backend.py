"""Who runs a run's steps: what every backend owes to the controller, and which one the settings name."""

from collections.abc import Mapping
from typing import Any, Protocol

from app.registry.runs import Run


class RunCrashed(Exception):
    """A run's steps can't be done, and the log has no word of why; the message says where to look."""


class Backend(Protocol):
    """Has the steps of runs run: `python -m app.retraining`, by whatever runs processes.

    What is asked of it again is asked once: any replica of the API, begun anew at any time, may go on with a run.
    """

    @property
    def progress(self) -> Mapping[str, dict[str, Any]]:
        """What each run that is tended here is doing: `step`, `doing`, `done` and `of`, as far as it is known."""

    @property
    def run_ids(self) -> set[str]:
        """The ids of the runs that were tended here, and neither stopped nor released since."""

    async def ensure_running(self, run: Run) -> None:
        """Have the run's steps run. Raises `Crashed`; `Unavailable` and `SetupError`, to be tried again."""

    async def stop(self, run_id: str) -> None:
        """End what is run of it: it was cancelled, or took too long. Raises `Unavailable`, `SetupError`."""

    async def detach(self, run_id: str) -> None:
        """Forget a run whose steps are done, or which another replica has taken over."""

    async def close(self) -> None:
        """Forget all runs: this replica ends."""


async def clean_up(backend: Backend, runs: Mapping[str, Run]) -> None:
    """Leave those of these runs whose steps are over; one that was cancelled, or failed, may have some that still run.

    Raises `Unavailable`, `SetupError`: then it is to be asked again.
    """
    for run_id in backend.run_ids & runs.keys():
        run = runs[run_id]
        if run.ended is not None and run.ended.outcome in ("cancelled", "failed"):
            await backend.stop(run_id)
        elif run.step in (None, "rollout"):
            await backend.detach(run_id)
