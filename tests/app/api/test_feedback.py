import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from app.api.app import MAX_JSON_BYTES, create_app
from app.api.feedback import EXAMPLES
from app.auth.keys import KeyStore
from app.catalog.catalog import Catalog
from app.events import cloudevents
from app.events.cloudevents import Record
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.platform import read_pids
from tests.support.record_strategies import consumed_record, make_record

ID = "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11"
CORRECTION: dict[str, Any] = {"prediction_id": ID, "correction": {"text": "123"}, "actor": "ada"}


async def read_feedback(config: Settings, key: str) -> list[Any]:
    """Return the records with this key on ocr.feedback, in order."""
    consumer = AIOKafkaConsumer("ocr.feedback", bootstrap_servers=config.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        batches = await consumer.getmany(timeout_ms=3000)
        return [record for records in batches.values() for record in records if record.key == key.encode()]
    finally:
        await consumer.stop()


@pytest.fixture
async def connected(platform: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_app(create_app(platform)) as client:
        yield client


def new_prediction_id() -> str:
    return prediction_id("ocr", "test", str(time.time_ns()))


async def test_accepted_feedback_is_in_the_log(platform: Settings, connected: httpx.AsyncClient) -> None:
    prediction = new_prediction_id()
    response = await connected.post("/v1/feedback", json=CORRECTION | {"prediction_id": prediction, "reward": 0.5})
    assert response.status_code == 202
    [record] = await read_feedback(platform, prediction)
    headers = cloudevents.decode_headers(record.headers)
    assert response.json() == {"id": headers["ce_id"], "prediction_id": prediction}
    assert headers["ce_source"] == "hindsight/api"
    assert headers["ce_type"] == "hindsight.feedback.given.v1"
    feedback = FeedbackGiven.model_validate_json(record.value)
    assert (feedback.correction, feedback.reward, feedback.actor) == ({"text": "123"}, 0.5, "ada")


async def test_the_idempotency_key_becomes_the_events_id(platform: Settings, connected: httpx.AsyncClient) -> None:
    prediction = new_prediction_id()
    for _ in range(2):
        response = await connected.post(
            "/v1/feedback", json=CORRECTION | {"prediction_id": prediction}, headers={"Idempotency-Key": "mine-1"}
        )
        assert response.json()["id"] == "mine-1"
    records = await read_feedback(platform, prediction)
    assert {cloudevents.header_text(record.headers, "ce_id") for record in records} == {"mine-1"}


async def test_feedback_continues_the_trace_of_its_request(platform: Settings, connected: httpx.AsyncClient) -> None:
    prediction, trace = new_prediction_id(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for traceparent in (trace, "nonsense"):
        headers = {"traceparent": traceparent}
        await connected.post("/v1/feedback", json=CORRECTION | {"prediction_id": prediction}, headers=headers)
    records = await read_feedback(platform, prediction)
    assert [cloudevents.header_text(record.headers, "traceparent") for record in records] == [trace, None]


async def test_feedback_by_the_applications_request_id_has_the_key_of_the_prediction(
    platform: Settings, connected: httpx.AsyncClient
) -> None:
    request = str(time.time_ns())
    body = {"task": "ocr", "request_id": request, "request_source": "shop", "accepted": True, "actor": "shop"}
    response = await connected.post("/v1/feedback", json=body)
    assert response.status_code == 202
    prediction = prediction_id("ocr", "shop", request)
    assert response.json()["prediction_id"] == prediction
    assert len(await read_feedback(platform, prediction)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "Field required"),
        ("{", "the body is not JSON"),
        ("[]", "valid dictionary"),
        ({}, "at least one of correction, reward and accepted is needed"),
        ({"prediction_id": ID, "reward": 1}, "actor: Field required"),
        ({"prediction_id": ID, "reward": 1, "actor": ""}, "actor: String should have at least 1 character"),
        ({"prediction_id": ID, "actor": "ada"}, "at least one of correction, reward and accepted is needed"),
        ({"reward": 1, "actor": "ada"}, "either prediction_id, or task and request_id, is needed"),
        ({"task": "ocr", "reward": 1, "actor": "ada"}, "either prediction_id, or task and request_id, is needed"),
        (CORRECTION | {"request_id": "7"}, "prediction_id and request_id exclude each other"),
        (CORRECTION | {"task": "decision"}, "prediction_id is not of task 'decision'"),
        (CORRECTION | {"prediction_id": "17"}, "is not a prediction id"),
        (CORRECTION | {"prediction_id": "ocr:17"}, "is not a prediction id"),
        (CORRECTION | {"prediction_id": ID.upper()}, "is not a prediction id"),
        (CORRECTION | {"prediction_id": ID.replace("ocr", "sonar")}, "There is no task 'sonar'. Choose one of: ocr."),
        (CORRECTION | {"reward": 1.5}, "reward: Input should be less than or equal to 1"),
        (CORRECTION | {"reward": "much"}, "reward: Input should be a valid number"),
        (json.dumps({"prediction_id": ID, "reward": float("nan"), "actor": "ada"}), "reward: Input should be"),
        (CORRECTION | {"accepted": "perhaps"}, "accepted: Input should be a valid boolean"),
        (CORRECTION | {"correction": "123"}, "correction: Input should be a valid dictionary"),
        (CORRECTION | {"correction": {}}, "`text` must be a string"),
        (CORRECTION | {"correction": {"text": 123}}, "`text` must be a string"),
        (CORRECTION | {"correction": {"text": "12", "label": "x"}}, "unknown fields: label"),
        (CORRECTION | {"correction": {"text": "1€"}}, "no symbol for '€'"),
        (CORRECTION | {"correction": {"text": "\ud800"}}, "'\\ud800'"),
        (CORRECTION | {"note": "hello"}, "note: Extra inputs are not permitted"),
    ],
)
async def test_invalid_feedback_is_refused_with_its_reason(http: httpx.AsyncClient, body: Any, reason: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    response = await http.post("/v1/feedback", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert reason in response.json()["detail"]


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 201, b"\xe9"])
async def test_an_invalid_idempotency_key_is_refused(http: httpx.AsyncClient, key: bytes) -> None:
    response = await http.post("/v1/feedback", json=CORRECTION, headers=[(b"Idempotency-Key", key)])
    assert response.status_code == 422
    assert response.json()["detail"].startswith("idempotency-key: ")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused_with_or_without_content_length(
    http: httpx.AsyncClient, declared: bool
) -> None:
    body = json.dumps(CORRECTION | {"actor": "x" * MAX_JSON_BYTES}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    headers = {"content-type": "application/json"}
    response = await http.post("/v1/feedback", content=body if declared else chunks(), headers=headers)
    assert response.status_code == 413
    assert response.json() == {"detail": f"the body is too large: at most {MAX_JSON_BYTES} bytes"}


async def test_without_a_broker_the_client_is_told_to_retry(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.kafka.resilient_producer.CONFIRM_SECONDS", 0.2)
    response = await http.post("/v1/feedback", json=CORRECTION)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "did not confirm" in response.json()["detail"]


async def test_feedback_is_refused_from_the_brokers_crash_until_its_restart(
    platform: Settings, connected: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.kafka.resilient_producer.CONFIRM_SECONDS", 0.5)
    prediction = new_prediction_id()
    body = CORRECTION | {"prediction_id": prediction}
    assert (await connected.post("/v1/feedback", json=body)).status_code == 202
    os.kill(read_pids(platform)["kafka"], signal.SIGKILL)
    response = await connected.post("/v1/feedback", json=body)
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    deadline = time.monotonic() + 60
    while (response := await connected.post("/v1/feedback", json=body)).status_code == 503:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert response.status_code == 202
    ids = [cloudevents.header_text(record.headers, "ce_id") for record in await read_feedback(platform, prediction)]
    assert response.json()["id"] in ids
    assert len(set(ids)) == len(ids)


async def test_the_examples_in_the_openapi_document_are_valid(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    examples = document["paths"]["/v1/feedback"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples.keys() == EXAMPLES.keys()
    for example in examples.values():
        FeedbackGiven.model_validate(example["value"])


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
        given = await client.post("/v1/feedback", json=CORRECTION)
        response = await client.delete(f"/v1/feedback/{given.json()['id']}")
    assert response.status_code == 202
    assert FeedbackRetracted.model_validate_json(published[-1].value or b"") == FeedbackRetracted(
        prediction_id=ID, retracts=given.json()["id"], actor="ada"
    )
