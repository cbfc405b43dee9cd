"""Records of predictions and outcomes of the task `scales`, and a catalog of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from app.catalog.catalog import Catalog
from app.events.base import EventData, ModelRef
from app.events.cloudevents import Record, format_rfc3339
from app.events.ids import prediction_id, shadow_id
from app.events.types import Failure, OutcomeRecorded, PredictionFailed, PredictionMade
from app.settings import Settings
from tests.support.record_strategies import consumed_record

TASK = "scales"
TIMINGS = {"queued": 1.0, "preprocess": 1.0, "inference": 2.0, "total": 4.0}


def make_prediction(request: int, at: datetime, version: str = "1", role: str = "champion", **more: Any) -> Record:
    """Return a version's prediction of a request; a shadow's is for the topic of shadows."""
    data = {
        "prediction_id": _prediction_id(request, version, role),
        "request_id": str(request),
        "task": TASK,
        "model": ModelRef(name=TASK, version=version),
        "role": role,
        "output": {"weight": 5.0},
        "confidence": 0.75,
        "propensity": 1.0,
        "timings_ms": TIMINGS,
    } | more
    return _record(PredictionMade.model_validate(data), _answers_topic(role), str(data["prediction_id"]), at)


def make_failure(request: int, at: datetime, version: str = "1", role: str = "champion") -> Record:
    """Return a version's failure to predict a request."""
    failure = PredictionFailed.model_validate(
        {
            "prediction_id": _prediction_id(request, version, role),
            "request_id": str(request),
            "task": TASK,
            "error": Failure(stage="inference", code="model_refused", reason="test"),
            "model": ModelRef(name=TASK, version=version),
            "role": role,
            "dead_letter": None,
        }
    )
    return _record(failure, _answers_topic(role), failure.prediction_id, at)


def make_outcome(request: int, at: datetime, selection: str = "audit", **more: Any) -> Record:
    """Return the record of the outcome of a request's served prediction."""
    return _record(outcome_event(request, selection, **more), f"{TASK}.outcomes", f"{request}/{at}", at)


def outcome_event(request: int, selection: str = "audit", **more: Any) -> OutcomeRecorded:
    """Return the outcome of a request's served prediction."""
    data = {
        "prediction_id": prediction_id(TASK, "app", str(request)),
        "request_id": str(request),
        "request_source": "app",
        "task": TASK,
        "model": ModelRef(name=TASK, version="1"),
        "role": "champion",
        "output": {"weight": 5.0},
        "confidence": 0.75,
        "propensity": 1.0,
        "selection": selection,
        "selection_probability": {"all": 1.0, "audit": 0.5}.get(selection),
    } | more
    return OutcomeRecorded.model_validate(data)


@contextmanager
def open_catalog(directory: Path, records: Sequence[Record]) -> Iterator[Catalog]:
    """Open a SQLite catalog of these records."""
    catalog = Catalog(Settings(home=directory).catalog_url)
    catalog.upgrade()
    catalog.project([consumed_record(record, offset) for offset, record in enumerate(records)])
    yield catalog
    catalog.close()


def _prediction_id(request: int, version: str, role: str) -> str:
    served = prediction_id(TASK, "app", str(request))
    return shadow_id(served, version) if role == "shadow" else served


def _answers_topic(role: str) -> str:
    return f"{TASK}.shadow-predictions" if role == "shadow" else f"{TASK}.predictions"


def _record(data: EventData, topic: str, id: str, at: datetime) -> Record:
    time = format_rfc3339(at.timestamp() * 1000)
    return data.to_record(topic, b"key", id=id, source="test", time=time, extensions={"requestsource": "app"})
