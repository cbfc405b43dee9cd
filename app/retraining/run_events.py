"""The events of a retraining run."""

import time
import uuid

from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import Record, format_rfc3339
from app.events.lifecycle import RetrainingEnded
from app.registry.runs import Run
from app.settings.namespace import qualify

SOURCE = qualify("hindsight/retraining")
"""The `ce_source` of retraining's events, and the actor of its changes."""


def step_event(run: Run, step: str, data: EventData) -> Record:
    """Return the event of a step's result. A repeated step has the same event id."""
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run.id}/{step}"))
    now = format_rfc3339(time.time() * 1000)
    return data.to_record(topics.LIFECYCLE, run.task.encode(), id=event_id, source=SOURCE, time=now)


def end_event(run: Run, outcome: str, reason: str) -> Record:
    """Return the event of a run's end."""
    fields = {"task": run.task, "run_id": run.id, "outcome": outcome, "reason": reason}
    return step_event(run, "end", RetrainingEnded.model_validate(fields))
