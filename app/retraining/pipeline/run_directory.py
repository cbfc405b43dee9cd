"""Where the files of a run are, and how what is done of it is said in the log."""

import time
import uuid
from pathlib import Path

from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import Record, format_rfc3339
from app.events.lifecycle import RetrainingEnded
from app.registry.runs import Run
from app.settings import Settings

SOURCE = "hindsight/retraining"
"""The `ce_source` of what the loop says, and the actor of what it does."""


def run_directory(settings: Settings, run_id: str) -> Path:
    """The directory of a run: its dataset, both models and the log. Raises ValueError for an id that leaves it."""
    runs = settings.home / "runs"
    if (runs / run_id).parent != runs or run_id in ("", ".", ".."):
        raise ValueError(f"{run_id!r} is no run's id")
    return runs / run_id


def step_event(run: Run, step: str, data: EventData) -> Record:
    """What a step of a run comes to, as an event. Said again, it is the same one."""
    unique = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run.id}/{step}"))
    now = format_rfc3339(time.time() * 1000)
    return data.to_record(topics.LIFECYCLE, run.task.encode(), id=unique, source=SOURCE, time=now)


def end_event(run: Run, outcome: str, reason: str) -> Record:
    """That a run is over, as an event."""
    said = {"task": run.task, "run_id": run.id, "outcome": outcome, "reason": reason}
    return step_event(run, "end", RetrainingEnded.model_validate(said))
