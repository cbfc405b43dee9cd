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
OWN = {"request_source", "time", "feedback", "outcome"}


def told() -> list[Record]:
    """The events behind the example in the documentation."""
    made = PredictionMade.model_validate({name: value for name, value in EXAMPLE.items() if name not in OWN})
    (said,) = EXAMPLE["feedback"]
    given = FeedbackGiven.model_validate({name: said[name] for name in ("prediction_id", "correction", "actor")})
    outcome = OutcomeRecorded.model_validate(EXAMPLE["outcome"])
    about = made.model_copy(update={"prediction_id": KNOWN})
    return [
        make_record(about, extensions={"requestsource": "shop"}),
        make_record(given.model_copy(update={"prediction_id": KNOWN}), id=said["id"], source=said["source"], minute=3),
        make_record(outcome.model_copy(update={"prediction_id": KNOWN})),
    ]


@pytest.fixture
async def http(brokerless: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API over a catalog that knows one prediction."""
    config = brokerless.model_copy(update={"home": tmp_path})
    catalog = Catalog(config.catalog_url)
    catalog.upgrade()
    catalog.project([consumed_record(one, offset) for offset, one in enumerate(told())])
    catalog.close()
    async with serve_app(create_app(config)) as client:
        yield client


async def test_a_prediction_is_answered_with_its_feedback_and_outcome(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/v1/predictions/{KNOWN}")
    assert response.status_code == 200
    answer = PredictionDetails.model_validate_json(response.content)
    assert answer.outcome is not None
    assert {"prediction_id": KNOWN, "output": {"text": "128"}}.items() <= response.json().items()
    assert answer.time.isoformat() == "2026-01-31T12:00:00+00:00"
    assert [(one.correction, one.actor, one.time.minute) for one in answer.feedback] == [({"text": "123"}, "ada", 3)]
    assert answer.outcome.label == {"text": "123"}


async def test_a_prediction_that_is_not_recorded_is_said_to_be_so(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/v1/predictions/{UNKNOWN}")
    assert response.status_code == 404
    assert UNKNOWN in response.json()["detail"]
    assert "not recorded yet" in response.json()["detail"]


@pytest.mark.parametrize("wrong", ["nonsense", "ocr:1", ":4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"])
async def test_what_is_no_prediction_id_is_refused(http: httpx.AsyncClient, wrong: str) -> None:
    response = await http.get(f"/v1/predictions/{wrong}")
    assert response.status_code == 422
    assert "is not a prediction id" in response.json()["detail"]


async def test_a_database_that_is_away_is_worth_another_try(brokerless: Settings, tmp_path: Path) -> None:
    url = SecretStr(f"postgresql://hindsight:hunter2@/db?host={tmp_path}")
    async with serve_app(create_app(brokerless.model_copy(update={"database_url": url}))) as client:
        response = await client.get(f"/v1/predictions/{KNOWN}")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "hunter2" not in response.text


def test_the_documented_example_is_an_answer() -> None:
    PredictionDetails.model_validate_json(json.dumps(EXAMPLE))
