"""The records that answer a request without a prediction: its failure, and its dead letter."""

import time
import uuid

from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import Event, Origin, Record, format_rfc3339
from app.events.ids import prediction_id, shadow_id
from app.events.topics import DEAD_LETTERS
from app.events.types import EventRejected, Failure, PredictionFailed, Role

PROPAGATED_EXTENSIONS = ("replay", "partial", "missing", "stream", "sequence")
"""What an answer takes over from what it answers: that it is history published again, or a session's so far; how many
chunks of the session are missing; and which frame of which stream it is."""


def propagated_extensions(event: Event | None) -> dict[str, str]:
    """The marks of an event."""
    return {name: event.extensions[name] for name in PROPAGATED_EXTENSIONS if name in event.extensions} if event else {}


def build_failed_prediction(
    task: str,
    request: tuple[str, str],
    failure: Failure,
    reference: str | None,
    key: bytes | None,
    event: Event | None,
    model_and_role: tuple[ModelRef, Role] | None = None,
) -> Record:
    """The answer to a request that can't be predicted. `request` is its (source, id), `event` what is known of it.

    `asked` is the version that was asked for a prediction, and its role: what a shadow fails to say answers nobody.
    """
    source, request_id = request
    unique, topic = prediction_id(task, source, request_id), topics.predictions(task)
    model, role = model_and_role or (None, None)
    if model is not None and role == "shadow":
        unique, topic = shadow_id(unique, model.version), topics.shadow_predictions(task)
    said = PredictionFailed(
        prediction_id=unique,
        request_id=request_id,
        task=task,
        error=failure,
        model=model,
        role=role,
        dead_letter=reference,
    )
    return said.to_record(
        topic,
        key,
        id=unique,
        source=f"hindsight/{task}",
        time=format_rfc3339(time.time() * 1000),
        subject=event.subject if event else None,
        traceparent=event.traceparent if event else None,
        extensions={"requestsource": source, **propagated_extensions(event)},
    )


def build_dead_letter(record: Record, origin: Origin, error: Failure, event: tuple[str, str]) -> tuple[str, Record]:
    """The dead letter of a record, and its id: the original key, value and headers, with `rejected_*` headers beside.

    `event` is the (source, id) that the record had or was given, so that a replay keeps its identity.
    """
    source, event_id = event
    reference = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{origin.id}/{error.stage}"))
    said = {
        "rejected_type": EventRejected.type,
        "rejected_id": reference,
        "rejected_stage": error.stage,
        "rejected_code": error.code,
        "rejected_reason": error.reason,
        "rejected_topic": origin.topic,
        "rejected_partition": str(origin.partition),
        "rejected_offset": str(origin.offset),
        "rejected_event_source": source,
        "rejected_event_id": event_id,
    }
    headers = (*record.headers, *((name, value.encode()) for name, value in said.items()))
    return reference, Record(DEAD_LETTERS, record.key, record.value, headers)
