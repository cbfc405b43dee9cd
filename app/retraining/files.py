"""Where the files of a run are, and who speaks for the loop in the log."""

from pathlib import Path

from app.settings import Settings

SOURCE = "hindsight/retraining"
"""The `ce_source` of what the loop says, and the actor of what it does."""


def directory_of(settings: Settings, run_id: str) -> Path:
    """The directory of a run: its dataset, both models and the log."""
    return settings.home / "runs" / run_id
