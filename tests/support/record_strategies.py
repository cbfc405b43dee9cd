"""Records of the log with few ids, so that several of them belong together."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app.events import answers, lifecycle, model_events, topics
from app.events import types as event_types
from app.events.base import EventData, ModelRef
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.prediction_reference import PredictionReference
from app.events.types import Failure, FeedbackGiven, FeedbackRetracted, PredictionMade
from tests.support.event_strategies import data_strategy

TASK = "ocr"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
_FEW_IDS = ("1", "2")
_PREDICTION_IDS = tuple(prediction_id(TASK, "app", request) for request in _FEW_IDS)
_LIFECYCLE_TYPES = (
    lifecycle.RetrainingTriggered,
    model_events.DatasetBuilt,
    model_events.ModelTrained,
    model_events.ModelEvaluated,
    model_events.ModelRegistered,
    model_events.RouteChanged,
    lifecycle.DriftDetected,
)
_TOPIC_BY_TYPE: dict[type[EventData], str] = {
    PredictionMade: topics.predictions(TASK),
    event_types.PredictionFailed: topics.predictions(TASK),
    FeedbackGiven: topics.feedback(TASK),
    FeedbackRetracted: topics.feedback(TASK),
    event_types.OutcomeRecorded: topics.outcomes(TASK),
    **dict.fromkeys(_LIFECYCLE_TYPES, topics.LIFECYCLE),
}


def consumed_record(record: Record, offset: int = 0, logged_ms: int = 0, partition: int = 0) -> ConsumedRecord:
    """Return a record as it is consumed, logged `logged_ms` after the start."""
    timestamp_ms = round(START.timestamp() * 1000) + logged_ms
    origin = Origin(TopicId(f"c/{record.topic}"), record.topic, partition, offset, timestamp_ms)
    return ConsumedRecord(origin, record.key, record.value, record.headers)


def make_record(
    data: EventData, topic: str | None = None, id: str = "1", minute: float = 0, **attributes: Any
) -> Record:
    """Return the record of an event, on its topic."""
    time = (START + timedelta(minutes=minute)).isoformat()
    attributes = {"source": "app", "time": time} | attributes
    return data.to_record(topic or _TOPIC_BY_TYPE[type(data)], b"key", id=id, **attributes)


def make_dead_letter(offset: int = 0, reason: str = "it is no image", headers: Headers = ()) -> Record:
    """Return a dead letter of the request at an offset."""
    origin = Origin(TopicId("c/t"), topics.requests(TASK), 0, offset, 0)
    request = Record(origin.topic, b"key", b"payload", headers)
    failure = Failure(stage="preprocess", code="bad", reason=reason)
    _, record = answers.build_dead_letter(request, origin, failure, ("app", "1"))
    return record


def _with_few_ids(data: EventData, id: str, model: ModelRef) -> EventData:
    """Return the data with one of the few ids."""
    fields = type(data).model_fields
    values = {
        "prediction_id": id,
        "task": TASK,
        "request_id": None if isinstance(data, PredictionReference) else "1",
        "request_source": None if isinstance(data, PredictionReference) else "app",
        "model": model,
        "content_hash": model.version,
        "location": "file:///datasets",
    } | ({"run_id": "run"} if getattr(data, "run_id", None) is not None else {})
    return data.model_copy(update={name: value for name, value in values.items() if name in fields})


_data = st.builds(
    _with_few_ids,
    st.sampled_from(list(_TOPIC_BY_TYPE)).flatmap(data_strategy),
    st.sampled_from(_PREDICTION_IDS),
    st.sampled_from(_FEW_IDS).map(lambda version: ModelRef(name=TASK, version=version)),
)
_dead_letters = st.builds(make_dead_letter, st.integers(0, 1), st.text(max_size=5))
_invalid = st.builds(lambda data: Record(topics.feedback(TASK), None, data, ()), st.none() | st.binary(max_size=20))
_record = (
    st.builds(make_record, _data, id=st.sampled_from(_FEW_IDS), minute=st.integers(0, 2)) | _dead_letters | _invalid
)


@st.composite
def log_strategy(draw: st.DrawFn) -> Sequence[ConsumedRecord]:
    """Draw a log: records of every type, some of them logged at the same time, in several partitions."""
    records = draw(st.lists(_record, max_size=12))
    logged_ms = sorted(draw(st.lists(st.integers(0, 5), min_size=len(records), max_size=len(records))))
    partitions = draw(st.lists(st.integers(0, 1), min_size=len(records), max_size=len(records)))
    return [
        consumed_record(record, offset, ms, partition)
        for offset, (record, ms, partition) in enumerate(zip(records, logged_ms, partitions, strict=True))
    ]
