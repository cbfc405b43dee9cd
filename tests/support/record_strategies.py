"""Records as they stand in the log, of few ids, so that several of them are about the same."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app.events import answers, lifecycle, model_events, topics
from app.events import types as event_types
from app.events.base import Data, ModelRef
from app.events.cloudevents import Headers, Incoming, LogEpoch, Origin, Record
from app.events.ids import prediction_id
from app.events.types import Failure, FeedbackGiven, PredictionMade
from tests.support.event_strategies import data_of

TASK = "ocr"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
_FEW = ("1", "2")
_IDS = tuple(prediction_id(TASK, "app", request) for request in _FEW)
_OF_LIFECYCLE = (
    lifecycle.RetrainingTriggered,
    model_events.DatasetBuilt,
    model_events.ModelTrained,
    model_events.ModelEvaluated,
    model_events.ModelRegistered,
    model_events.RouteChanged,
    lifecycle.DriftDetected,
)
_TOPIC_OF: dict[type[Data], str] = {
    PredictionMade: topics.predictions(TASK),
    event_types.PredictionFailed: topics.predictions(TASK),
    FeedbackGiven: topics.feedback(TASK),
    event_types.OutcomeRecorded: topics.outcomes(TASK),
    **dict.fromkeys(_OF_LIFECYCLE, topics.LIFECYCLE),
}


def incoming(record: Record, offset: int = 0, logged_ms: int = 0, partition: int = 0) -> Incoming:
    """A record as it is consumed, logged so long after the start."""
    logged = round(START.timestamp() * 1000) + logged_ms
    origin = Origin(LogEpoch(f"c/{record.topic}"), record.topic, partition, offset, logged)
    return Incoming(origin, record.key, record.value, record.headers)


def record(data: Data, topic: str | None = None, id: str = "1", minute: float = 0, **attributes: Any) -> Record:
    """An event that says this, on its topic."""
    time = (START + timedelta(minutes=minute)).isoformat()
    attributes = {"source": "app", "time": time} | attributes
    return data.record(topic or _TOPIC_OF[type(data)], b"key", id=id, **attributes)


def letter(place: int = 0, reason: str = "it is no image", headers: Headers = ()) -> Record:
    """A dead letter of the request that stands there."""
    origin = Origin(LogEpoch("c/t"), topics.requests(TASK), 0, place, 0)
    rejected = Record(origin.topic, b"key", b"payload", headers)
    return answers.dead_letter(rejected, origin, Failure(stage="preprocess", code="bad", reason=reason), ("app", "1"))[
        1
    ]


def _few(data: Data, unique: str, model: ModelRef) -> Data:
    """The data, about one of the few."""
    fields = type(data).model_fields
    about = {
        "prediction_id": unique,
        "task": TASK,
        "request_id": None if isinstance(data, FeedbackGiven) else "1",
        "request_source": None if isinstance(data, FeedbackGiven) else "app",
        "model": model,
        "content_hash": model.version,
        "location": "file:///datasets",
    } | ({"run_id": "run"} if getattr(data, "run_id", None) is not None else {})
    return data.model_copy(update={name: value for name, value in about.items() if name in fields})


_data = st.builds(
    _few,
    st.sampled_from(list(_TOPIC_OF)).flatmap(data_of),
    st.sampled_from(_IDS),
    st.sampled_from(_FEW).map(lambda version: ModelRef(name=TASK, version=version)),
)
_letters = st.builds(letter, st.integers(0, 1), st.text(max_size=5))
_broken = st.builds(lambda data: Record(topics.feedback(TASK), None, data, ()), st.none() | st.binary(max_size=20))
_record = st.builds(record, _data, id=st.sampled_from(_FEW), minute=st.integers(0, 2)) | _letters | _broken


@st.composite
def logs(draw: st.DrawFn) -> Sequence[Incoming]:
    """A log: records of every kind, some of them logged in the same moment, in several partitions."""
    records = draw(st.lists(_record, max_size=12))
    logged = sorted(draw(st.lists(st.integers(0, 5), min_size=len(records), max_size=len(records))))
    partitions = draw(st.lists(st.integers(0, 1), min_size=len(records), max_size=len(records)))
    return [incoming(*one) for one in zip(records, range(len(records)), logged, partitions, strict=True)]
