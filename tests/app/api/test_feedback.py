import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from app.api.app import MAX_JSON_BYTES, create_app
from app.api.feedback import EXAMPLES
from app.events import cloudevents
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.platform import read_pids

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
        ({}, "at least one of correction, reward, accepted and preference is needed"),
        ({"prediction_id": ID, "reward": 1}, "actor: Field required"),
        ({"prediction_id": ID, "reward": 1, "actor": ""}, "actor: String should have at least 1 character"),
        (
            {"prediction_id": ID, "actor": "ada"},
            "at least one of correction, reward, accepted and preference is needed",
        ),
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
        (CORRECTION | {"preference": {"output": {"text": "1"}}}, "preference.better: Field required"),
        (CORRECTION | {"preference": {"output": {}, "better": True}}, "`text` must be a string"),
        (CORRECTION | {"note": "hello"}, "note: Extra inputs are not permitted"),
        (CORRECTION | {"reward_name": "click"}, "a reward_name needs a reward"),
        (CORRECTION | {"reward": 1, "reward_name": "click"}, "'click' is not a reward of ocr, which declares none"),
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
