"""`DELETE /v1/feedback/{id}`: retractions of feedback."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.app import create_app
from app.auth.keys import KeyStore
from app.catalog.catalog import Catalog
from app.events import cloudevents
from app.events.cloudevents import Record
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.record_strategies import consumed_record, make_record

ID = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"
OTHER_ID = prediction_id("ocr", "app", "2")
RECORDED = {"of ada": (ID, "ada"), "of bob": (ID, "bob")}
"""Recorded feedback: event id, prediction and actor."""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """The records that the API publishes."""
    records: list[Record] = []

    async def publish(self: Any, record: Record) -> None:
        records.append(record)

    monkeypatch.setattr("app.kafka.resilient_producer.ResilientProducer.publish", publish)
    return records


@pytest.fixture
def recorded(brokerless: Settings, tmp_path: Path) -> Settings:
    """Settings of a platform whose catalog has feedback. The id `twice` is that of two events of ada."""
    config = brokerless.model_copy(update={"home": tmp_path})
    catalog = Catalog(config.catalog_url)
    catalog.upgrade()
    events = [*((id, prediction, actor, "app") for id, (prediction, actor) in RECORDED.items())]
    events += [("twice", ID, "ada", "app"), ("twice", OTHER_ID, "ada", "shop")]
    for id, prediction, actor, source in events:
        feedback = FeedbackGiven(prediction_id=prediction, reward=1.0, actor=actor)
        catalog.project([consumed_record(make_record(feedback, id=id, source=source))])
    catalog.close()
    return config


async def retract(config: Settings, feedback_id: str, key: str | None = None, **names: str) -> httpx.Response:
    """Retract feedback with a new key of this name, or without a key."""
    headers = {}
    if key is not None:
        keys = KeyStore(config.catalog_url)
        headers["X-API-Key"] = keys.create(key, frozenset({"feedback"}))
        keys.close()
    async with serve_app(create_app(config), **headers) as client:
        return await client.delete(f"/v1/feedback/{feedback_id}", params=names)


@pytest.mark.parametrize(
    ("feedback_id", "key", "names", "retracted"),
    [
        ("of ada", "ada", {}, (ID, "ada")),
        ("of bob", "ada", {"actor": "bob"}, (ID, "bob")),
        ("of bob", None, {}, (ID, "bob")),
        ("twice", "ada", {"prediction_id": OTHER_ID}, (OTHER_ID, "ada")),
        ("unknown", "ada", {"prediction_id": ID}, (ID, "ada")),
    ],
    ids=["of the key", "of a named actor", "by the operator", "of a named prediction", "before it is recorded"],
)
async def test_a_retraction_names_the_feedback_its_prediction_and_its_actor(
    recorded: Settings,
    published: list[Record],
    feedback_id: str,
    key: str | None,
    names: dict[str, str],
    retracted: tuple[str, str],
) -> None:
    response = await retract(recorded, feedback_id, key, **names)
    assert response.status_code == 202
    [record] = published
    headers = cloudevents.decode_headers(record.headers)
    assert (record.topic, headers["ce_type"]) == ("ocr.feedback", FeedbackRetracted.type)
    assert response.json() == {"id": headers["ce_id"], "prediction_id": retracted[0]}
    event = FeedbackRetracted.model_validate_json(record.value or b"")
    assert (event.retracts, event.prediction_id, event.actor) == (feedback_id, *retracted)


@pytest.mark.parametrize(
    ("feedback_id", "key", "names", "status", "reason"),
    [
        ("of bob", "ada", {}, 403, "is not of 'ada'"),
        ("of ada", "ada", {"actor": "bob"}, 403, "is not of 'bob'"),
        ("unknown", "ada", {}, 404, "not recorded yet"),
        ("unknown", None, {"prediction_id": ID}, 404, "name `prediction_id` and `actor`"),
        ("twice", "ada", {}, 409, "2 feedback events"),
        ("of ada", "ada", {"prediction_id": "17"}, 422, "prediction_id: '17' is not a prediction id"),
        ("x" * 513, "ada", {}, 422, "feedback_id: String should have at most 512 characters"),
        ("unknown", "ada", {"prediction_id": ID.replace("ocr", "sonar")}, 422, "There is no task 'sonar'"),
    ],
)
async def test_a_retraction_that_cannot_count_is_refused_with_its_reason(
    recorded: Settings,
    published: list[Record],
    feedback_id: str,
    key: str | None,
    names: dict[str, str],
    status: int,
    reason: str,
) -> None:
    response = await retract(recorded, feedback_id, key, **names)
    assert (response.status_code, published) == (status, [])
    assert reason in response.json()["detail"]


async def test_feedback_can_be_retracted_before_it_is_recorded(recorded: Settings, published: list[Record]) -> None:
    async with serve_app(create_app(recorded)) as client:
        given = await client.post(
            "/v1/feedback", json={"prediction_id": ID, "correction": {"text": "123"}, "actor": "ada"}
        )
        response = await client.delete(f"/v1/feedback/{given.json()['id']}")
    assert response.status_code == 202
    assert FeedbackRetracted.model_validate_json(published[-1].value or b"") == FeedbackRetracted(
        prediction_id=ID, retracts=given.json()["id"], actor="ada"
    )
