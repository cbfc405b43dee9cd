"""`GET /v1/predictions/{id}`: a prediction with its feedback and its outcome."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path

from app.api.errors import RETRY_AFTER
from app.auth.scopes import AUTH_RESPONSES, require_scope
from app.catalog.catalog import Catalog
from app.errors import Unavailable
from app.events.ids import PREDICTION_ID, task_of
from app.events.types import FeedbackGiven, OutcomeRecorded, PredictionMade

_EXAMPLE_ID = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"
_EXAMPLE_EVENT: dict[str, Any] = {
    "prediction_id": _EXAMPLE_ID,
    "request_id": "invoice-17",
    "task": "ocr",
    "model": {"name": "ocr", "version": "3"},
    "role": "champion",
    "output": {"text": "128"},
    "confidence": 0.97,
    "propensity": 1.0,
}
EXAMPLE: dict[str, Any] = _EXAMPLE_EVENT | {
    "timings_ms": {"queued": 1.2, "preprocess": 0.8, "inference": 3.1, "total": 5.1},
    "request_source": "shop",
    "time": "2026-01-31T12:00:00Z",
    "feedback": [
        {
            "prediction_id": _EXAMPLE_ID,
            "correction": {"text": "123"},
            "actor": "ada",
            "id": "7e57d004-2b97-4e7a-b45f-5387367791cd",
            "source": "hindsight/api",
            "time": "2026-01-31T12:03:00Z",
        }
    ],
    "outcome": _EXAMPLE_EVENT
    | {
        "request_source": "shop",
        "label": {"text": "123"},
        "actors": ["ada"],
        "score": 0.667,
        "feedback": 1,
        "selection": "volunteer",
    },
}
PredictionId = Annotated[str, Path(json_schema_extra={"pattern": f"^{PREDICTION_ID.pattern}$"}, examples=[_EXAMPLE_ID])]
"""The pattern is for the OpenAPI description only; `task_of` refuses invalid ids with a reason."""
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": EXAMPLE}}},
    **AUTH_RESPONSES,
    404: {"description": "No such prediction is recorded. A new one is recorded a moment after its answer."},
    422: {"description": "The id is not a valid prediction id."},
    503: {"description": "The catalog's database is unavailable: try again after Retry-After."},
}


class FeedbackDetails(FeedbackGiven):
    """A feedback event with its identity."""

    id: str
    source: str
    time: datetime
    """The event's `ce_time`."""
    retracted: datetime | None = None
    """The time of its retraction; null while it counts."""


class PredictionDetails(PredictionMade):
    """A prediction as it was published, with its feedback and the outcome of that."""

    request_source: str
    """The request's `ce_source`."""
    time: datetime
    """The prediction's `ce_time`."""
    feedback: list[FeedbackDetails]
    """Oldest first."""
    outcome: OutcomeRecorded | None
    """The current outcome; null until one is recorded."""


def router(catalog: Catalog) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["predictions"], dependencies=[require_scope("read")])

    @routes.get("/v1/predictions/{prediction_id}", responses=RESPONSES)
    async def read_prediction(prediction_id: PredictionId) -> PredictionDetails:
        """Return a prediction as it was published, its feedback and its outcome."""
        try:
            task_of(prediction_id)
            prediction = await asyncio.to_thread(catalog.prediction, prediction_id)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        except Unavailable as error:
            raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER}) from None
        if prediction is None:
            reason = "either it is not recorded yet (that takes a moment after its answer), or the id is wrong"
            raise HTTPException(404, f"no prediction {prediction_id!r} is recorded: {reason}")
        return PredictionDetails.model_validate(prediction)

    return routes
