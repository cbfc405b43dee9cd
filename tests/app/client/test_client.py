import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from app.client import Answer, ClientError, Hindsight, PredictionError
from app.embedded.readiness import api_url
from app.events import cloudevents
from app.events import types as event_types
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, PredictionMade
from app.kafka import clients
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.fake_inference import TASK, make_failure, make_prediction, publish, run_fake_inference

SOURCE = "test/client"


@pytest.fixture
async def client(platform: Settings) -> AsyncIterator[Hindsight]:
    async with Hindsight(platform.bootstrap, api_url=api_url(platform), source=SOURCE) as hindsight:
        yield hindsight


@pytest.fixture
async def producer(platform: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = clients.create_producer(platform)
    await producer.start()
    yield producer
    await producer.stop()


def spelled(payload: bytes) -> dict[str, Any]:
    if payload == b"bad":
        raise ValueError("it is bad")
    return {"payload": payload.decode()}


async def some(answers: AsyncGenerator[Answer, None], count: int) -> list[Answer]:
    async with asyncio.timeout(60), aclosing(answers):
        return [await anext(answers) for _ in range(count)]


async def last_on(config: Settings, topic: str, key: str) -> Any:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=config.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        batches = await consumer.getmany(timeout_ms=3000)
        return [r for records in batches.values() for r in records if r.key == key.encode()][-1]
    finally:
        await consumer.stop()


async def test_a_request_is_answered(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, spelled):
        prediction = await client.predict(TASK, b"abc", request_id=(request := str(uuid.uuid4())))
    assert prediction.output == {"payload": "abc"}
    assert prediction.prediction_id == prediction_id(TASK, SOURCE, request)


async def test_many_requests_at_once_each_get_their_own_answer(platform: Settings, client: Hindsight) -> None:
    payloads = [f"letter {number}".encode() for number in range(50)]
    async with run_fake_inference(platform, spelled):
        predictions = await asyncio.gather(*(client.predict(TASK, payload) for payload in payloads))
    assert [made.output for made in predictions] == [{"payload": payload.decode()} for payload in payloads]


async def test_all_requests_of_a_task_share_one_reader(
    platform: Settings, client: Hindsight, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AIOKafkaConsumer] = []

    def counted(**options: Any) -> AIOKafkaConsumer:
        made.append(AIOKafkaConsumer(**options))
        return made[-1]

    monkeypatch.setattr("app.client.client.AIOKafkaConsumer", counted)
    async with run_fake_inference(platform, spelled):
        await asyncio.gather(*(client.predict(TASK, b"abc") for _ in range(5)))
        await client.predict(TASK, b"abc")
    assert len(made) == 2, "one that finds the log's end, one that reads"


async def test_a_failed_prediction_raises_its_reason(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, spelled):
        with pytest.raises(PredictionError, match="it is bad") as caught:
            await client.predict(TASK, b"bad")
    assert caught.value.answer.error.stage == "preprocess"


async def test_without_an_answer_it_stops_waiting(client: Hindsight) -> None:
    with pytest.raises(TimeoutError):
        await client.predict(TASK, b"abc", timeout=0.5)


async def test_a_request_made_again_has_the_answer_of_the_first(
    platform: Settings, client: Hindsight, producer: AIOKafkaProducer
) -> None:
    request = str(uuid.uuid4())
    with pytest.raises(TimeoutError):
        await client.predict(TASK, b"abc", timeout=0.5, request_id=request)
    await publish(producer, make_prediction(prediction_id(TASK, SOURCE, request), request, {"payload": "late"}))
    for _ in range(2):
        prediction = await client.predict(TASK, b"abc", request_id=request)
        assert prediction.output == {"payload": "late"}


async def test_of_two_answers_the_first_in_the_log_counts_but_a_prediction_supersedes_a_failure(
    client: Hindsight, producer: AIOKafkaProducer
) -> None:
    ids = {request: await client.send(TASK, b"abc", request_id=request) for request in (str(uuid.uuid4()), "again")}
    first, second = ids.items()
    await publish(producer, make_prediction(first[1], first[0], {"payload": "one"}))
    await publish(producer, make_prediction(first[1], first[0], {"payload": "two"}))
    await publish(producer, make_failure(first[1], first[0], "three"))
    await publish(producer, make_failure(second[1], second[0], "bad"))
    await publish(producer, make_prediction(second[1], second[0], {"payload": "two"}))
    await publish(producer, make_prediction("letters:" + str(uuid.uuid4()), "another", {"payload": "end"}))
    answers = await some(client.answers(TASK), 4)
    said = {unique: [answer for answer in answers if answer.prediction_id == unique] for unique in ids.values()}
    [only] = said[first[1]]
    assert isinstance(only, PredictionMade)
    assert only.output == {"payload": "one"}
    assert [type(answer) for answer in said[second[1]]] == [event_types.PredictionFailed, PredictionMade]


async def test_no_answer_since_the_first_request_is_missed(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, spelled):
        expected = [await client.send(TASK, b"early") for _ in range(5)]
        await client.predict(TASK, b"later")
        # Partitions have no order among them: the last one sent may be answered before the others.
        answers = await some(client.answers(TASK), 6)
    assert set(expected) <= {answer.prediction_id for answer in answers}


async def test_what_is_no_answer_is_passed_over(client: Hindsight, producer: AIOKafkaProducer) -> None:
    expected = await client.send(TASK, b"abc", request_id=(request := str(uuid.uuid4())))
    made_type = [("ce_type", PredictionMade.type.encode())]
    await producer.send_and_wait("letters.predictions", b"{", request.encode(), headers=made_type)
    await producer.send_and_wait("letters.predictions", b"{}", request.encode())
    await publish(producer, make_prediction(expected, request, {"payload": "abc"}))
    [answer] = await some(client.answers(TASK), 1)
    assert answer.prediction_id == expected


async def test_the_request_carries_its_attributes(platform: Settings, client: Hindsight) -> None:
    key = str(time.time_ns())
    await client.send(TASK, b"abc", request_id="mine", key=key, subject="page 7", content_type="text/plain")
    record = await last_on(platform, "letters.requests", key)
    headers = cloudevents.decode_headers(record.headers)
    assert record.value == b"abc"
    assert (headers["ce_id"], headers["ce_source"], headers["ce_subject"]) == ("mine", SOURCE, "page 7")
    assert headers["content-type"] == "text/plain"


async def test_a_payload_too_large_for_kafka_goes_through_blob_storage(platform: Settings, client: Hindsight) -> None:
    payload = b"x" * (client.max_inline_bytes + 1)
    with pytest.raises(ClientError, match="blob=True"):
        await client.send(TASK, payload)
    key = str(time.time_ns())
    await client.send(TASK, payload, key=key, blob=True)
    record = await last_on(platform, "letters.requests", key)
    assert cloudevents.decode_headers(record.headers)["content-type"] == "application/json"
    assert blob_store(platform).get(json.loads(record.value)["uri"], len(payload)) == payload


async def test_the_largest_payload_fits_into_kafka(client: Hindsight) -> None:
    await client.send(TASK, bytes(client.max_inline_bytes))


@pytest.mark.parametrize("by_http", [True, False])
async def test_feedback_reaches_the_log(platform: Settings, by_http: bool) -> None:
    prediction = prediction_id("ocr", SOURCE, str(time.time_ns()))
    async with Hindsight(platform.bootstrap, api_url=api_url(platform) if by_http else None, source=SOURCE) as client:
        event_id = await client.feedback(prediction, correction={"text": "123"}, actor="ada")
    record = await last_on(platform, "ocr.feedback", prediction)
    headers = cloudevents.decode_headers(record.headers)
    assert (headers["ce_id"], headers["ce_source"]) == (event_id, "hindsight/api" if by_http else SOURCE)
    assert FeedbackGiven.model_validate_json(record.value).correction == {"text": "123"}


async def test_refused_feedback_raises_its_reason(client: Hindsight) -> None:
    prediction = prediction_id("ocr", SOURCE, "1")
    with pytest.raises(ClientError, match="at least one of correction, reward and accepted"):
        await client.feedback(prediction, actor="ada")
    with pytest.raises(ClientError, match=r"no symbol for '€'.*422"):
        await client.feedback(prediction, correction={"text": "€"}, actor="ada")


async def test_an_unknown_task_is_said(client: Hindsight) -> None:
    with pytest.raises(ClientError, match=r"no topic 'sonar\.predictions'"):
        await client.send("sonar", b"ping")


async def test_an_api_that_does_not_answer_is_said(platform: Settings, brokerless: Settings) -> None:
    async with Hindsight(platform.bootstrap, api_url=api_url(brokerless)) as client:
        with pytest.raises(ClientError, match="does not answer"):
            await client.put_blob(b"payload")
    async with Hindsight(platform.bootstrap) as client:
        with pytest.raises(ClientError, match="api_url"):
            await client.put_blob(b"payload")


async def test_a_broker_that_is_away_is_said(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        async with Hindsight(brokerless.bootstrap):
            pass
