"""Events of one served prediction, and the rows of a table."""

from typing import Any

from app.catalog.catalog import Catalog
from app.events.base import ModelRef
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted, OutcomeRecorded, PredictionMade

SERVED = prediction_id("ocr", "app", "1")


OTHER = prediction_id("ocr", "app", "2")


def sample_prediction(text: str = "128", prediction: str = SERVED, **changes: Any) -> PredictionMade:
    return PredictionMade(
        prediction_id=prediction,
        request_id="1",
        task="ocr",
        model=ModelRef(name="ocr", version="3"),
        role="champion",
        output={"text": text},
        confidence=0.75,
        propensity=1.0,
        timings_ms={"queued": 1, "preprocess": 1, "inference": 1, "total": 3},
    ).model_copy(update=changes)


def sample_correction(text: str = "123", prediction: str = SERVED, **fields: Any) -> FeedbackGiven:
    return FeedbackGiven(prediction_id=prediction, correction={"text": text}, actor="ada", **fields)


def sample_retraction(retracts: str = "1", prediction: str = SERVED, **fields: Any) -> FeedbackRetracted:
    return FeedbackRetracted(**{"prediction_id": prediction, "actor": "ada", "retracts": retracts} | fields)


def sample_outcome(prediction_id: str = SERVED, **fields: Any) -> OutcomeRecorded:
    columns = sample_prediction(prediction=prediction_id).model_dump(exclude={"timings_ms", "inputs"})
    return OutcomeRecorded(**columns, request_source="app", selection="volunteer", **fields)


def table_rows(catalog: Catalog, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in catalog.rows(table)]
