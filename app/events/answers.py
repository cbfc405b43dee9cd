"""Records that answer a request without a prediction: the failed prediction and the dead letter."""

import time
import uuid

from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import Event, Origin, Record, format_rfc3339
from app.events.expiry import EXPIRY_EXTENSION
from app.events.ids import prediction_id, shadow_id
from app.events.topics import DEAD_LETTERS
from app.events.types import EventRejected, Failure, PredictionFailed, Role
from app.settings.namespace import qualify

PROPAGATED_EXTENSIONS = ("replay", "partial", "missing", "stream", "sequence", EXPIRY_EXTENSION)
"""Extensions that an answer copies from its request: the republish mark, the marks of a partial session with its
missing chunks, the stream and frame number, and the time until which an answer is wanted.
"""


def propagated_extensions(event: Event | None) -> dict[str, str]:
    """Return the extensions of an event that its answer copies."""
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
    """Return the answer to a request that cannot be predicted.

    `request` is its (source, id), `event` the event as far as it could be read. `model_and_role` is the version that
    was asked for a prediction, and its role: a failed shadow is published on the topic of shadow predictions.
    """
    source, request_id = request
    failure_id, topic = prediction_id(task, source, request_id), topics.predictions(task)
    model, role = model_and_role or (None, None)
    if model is not None and role == "shadow":
        failure_id, topic = shadow_id(failure_id, model.version), topics.shadow_predictions(task)
    failed_prediction = PredictionFailed(
        prediction_id=failure_id,
        request_id=request_id,
        task=task,
        error=failure,
        model=model,
        role=role,
        dead_letter=reference,
    )
    return failed_prediction.to_record(
        topic,
        key,
        id=failure_id,
        source=qualify(f"hindsight/{task}"),
        time=format_rfc3339(time.time() * 1000),
        subject=event.subject if event else None,
        traceparent=event.traceparent if event else None,
        extensions={"requestsource": source, **propagated_extensions(event)},
    )


def build_dead_letter(record: Record, origin: Origin, error: Failure, event: tuple[str, str]) -> tuple[str, Record]:
    """Return the id and the dead letter of a record: its key, value and headers, with `rejected_*` headers added.

    `event` is the (source, id) that the record had or was given, so that a redelivery keeps its identity.
    """
    source, event_id = event
    dead_letter_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{origin.id}/{error.stage}"))
    rejection = {
        "rejected_type": EventRejected.type,
        "rejected_id": dead_letter_id,
        "rejected_stage": error.stage,
        "rejected_code": error.code,
        "rejected_reason": error.reason,
        "rejected_topic": origin.topic,
        "rejected_partition": str(origin.partition),
        "rejected_offset": str(origin.offset),
        "rejected_event_source": source,
        "rejected_event_id": event_id,
    }
    headers = (*record.headers, *((name, value.encode()) for name, value in rejection.items()))
    return dead_letter_id, Record(DEAD_LETTERS, record.key, record.value, headers)
