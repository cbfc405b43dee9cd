import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.api.predictions import EXAMPLE, PredictionDetails
from app.catalog.catalog import Catalog
from app.events.cloudevents import Record
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, OutcomeRecorded, PredictionMade
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.record_strategies import consumed_record, make_record

KNOWN = prediction_id("ocr", "shop", "invoice-17")
UNKNOWN = prediction_id("ocr", "shop", "invoice-18")
DETAIL_FIELDS = {"request_source", "time", "feedback", "outcome"}


def example_records() -> list[Record]:
    """Return the events behind the example in the documentation."""
    prediction = PredictionMade.model_validate(
        {name: value for name, value in EXAMPLE.items() if name not in DETAIL_FIELDS}
    )
    (details,) = EXAMPLE["feedback"]
    feedback = FeedbackGiven.model_validate({name: details[name] for name in ("prediction_id", "correction", "actor")})
    outcome = OutcomeRecorded.model_validate(EXAMPLE["outcome"])
    known = {"prediction_id": KNOWN}
    return [
        make_record(prediction.model_copy(update=known), extensions={"requestsource": "shop"}),
        make_record(feedback.model_copy(update=known), id=details["id"], source=details["source"], minute=3),
        make_record(outcome.model_copy(update=known)),
    ]


@pytest.fixture
async def http(brokerless: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API over a catalog with one prediction."""
    config = brokerless.model_copy(update={"home": tmp_path})
    catalog = Catalog(config.catalog_url)
    catalog.upgrade()
    catalog.project([consumed_record(record, offset) for offset, record in enumerate(example_records())])
    catalog.close()
    async with serve_app(create_app(config)) as client:
        yield client


async def test_a_prediction_is_returned_with_its_feedback_and_outcome(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/v1/predictions/{KNOWN}")
    assert response.status_code == 200
    prediction = PredictionDetails.model_validate_json(response.content)
    assert prediction.outcome is not None
    assert {"prediction_id": KNOWN, "output": {"text": "128"}}.items() <= response.json().items()
    assert prediction.time.isoformat() == "2026-01-31T12:00:00+00:00"
    [feedback] = prediction.feedback
    assert (feedback.correction, feedback.actor, feedback.time.minute) == ({"text": "123"}, "ada", 3)
    assert prediction.outcome.label == {"text": "123"}


async def test_a_prediction_that_is_not_recorded_is_not_found(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/v1/predictions/{UNKNOWN}")
    assert response.status_code == 404
    assert UNKNOWN in response.json()["detail"]
    assert "not recorded yet" in response.json()["detail"]


@pytest.mark.parametrize("wrong", ["nonsense", "ocr:1", ":4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"])
async def test_an_invalid_prediction_id_is_refused(http: httpx.AsyncClient, wrong: str) -> None:
    response = await http.get(f"/v1/predictions/{wrong}")
    assert response.status_code == 422
    assert "is not a prediction id" in response.json()["detail"]


async def test_an_unavailable_database_can_be_retried(brokerless: Settings, tmp_path: Path) -> None:
    url = SecretStr(f"postgresql://hindsight:hunter2@/db?host={tmp_path}")
    async with serve_app(create_app(brokerless.model_copy(update={"database_url": url}))) as client:
        response = await client.get(f"/v1/predictions/{KNOWN}")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "hunter2" not in response.text


def test_the_documented_example_is_a_valid_response() -> None:
    PredictionDetails.model_validate_json(json.dumps(EXAMPLE))
