"""The directory of a retraining run's files."""

from pathlib import Path

from app.settings import Settings


def run_directory(settings: Settings, run_id: str) -> Path:
    """Return the directory of a run's dataset, models and log. Raises ValueError if the id would leave the runs."""
    runs = settings.home / "runs"
    if (runs / run_id).parent != runs or run_id in ("", ".", ".."):
        raise ValueError(f"{run_id!r} is not a valid run id: it would leave {runs}")
    return runs / run_id
