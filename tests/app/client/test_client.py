import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from app.client import Answer, ClientError, Hindsight, PredictionError
from app.embedded.api_readiness import api_url
from app.events import cloudevents
from app.events import types as event_types
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted, PredictionMade
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


def echo_output(payload: bytes) -> dict[str, Any]:
    if payload == b"bad":
        raise ValueError("it is bad")
    return {"payload": payload.decode()}


async def take(answers: AsyncGenerator[Answer, None], count: int) -> list[Answer]:
    async with asyncio.timeout(60), aclosing(answers):
        return [await anext(answers) for _ in range(count)]


async def read_last(config: Settings, topic: str, key: str) -> Any:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=config.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        batches = await consumer.getmany(timeout_ms=3000)
        return [record for records in batches.values() for record in records if record.key == key.encode()][-1]
    finally:
        await consumer.stop()


async def test_a_request_is_answered(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, echo_output):
        prediction = await client.predict(TASK, b"abc", request_id=(request_id := str(uuid.uuid4())))
    assert prediction.output == {"payload": "abc"}
    assert prediction.prediction_id == prediction_id(TASK, SOURCE, request_id)


async def test_many_requests_at_once_each_get_their_own_answer(platform: Settings, client: Hindsight) -> None:
    payloads = [f"letter {number}".encode() for number in range(50)]
    async with run_fake_inference(platform, echo_output):
        predictions = await asyncio.gather(*(client.predict(TASK, payload) for payload in payloads))
    assert [prediction.output for prediction in predictions] == [{"payload": payload.decode()} for payload in payloads]


async def test_all_requests_of_a_task_share_one_reader(
    platform: Settings, client: Hindsight, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumers: list[AIOKafkaConsumer] = []

    def create_consumer(**options: Any) -> AIOKafkaConsumer:
        consumers.append(AIOKafkaConsumer(**options))
        return consumers[-1]

    monkeypatch.setattr("app.client.answers.AIOKafkaConsumer", create_consumer)
    async with run_fake_inference(platform, echo_output):
        await asyncio.gather(*(client.predict(TASK, b"abc") for _ in range(5)))
        await client.predict(TASK, b"abc")
    assert len(consumers) == 2, "one finds the end of the log, one reads"


async def test_a_failed_prediction_raises_its_reason(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, echo_output):
        with pytest.raises(PredictionError, match="it is bad") as caught:
            await client.predict(TASK, b"bad")
    assert caught.value.answer.error.stage == "preprocess"


async def test_a_request_without_an_answer_raises_timeout_error(client: Hindsight) -> None:
    with pytest.raises(TimeoutError):
        await client.predict(TASK, b"abc", timeout=0.5)


async def test_a_repeated_request_has_the_answer_of_the_first_one(
    platform: Settings, client: Hindsight, producer: AIOKafkaProducer
) -> None:
    request_id = str(uuid.uuid4())
    with pytest.raises(TimeoutError):
        await client.predict(TASK, b"abc", timeout=0.5, request_id=request_id)
    await publish(producer, make_prediction(prediction_id(TASK, SOURCE, request_id), request_id, {"payload": "late"}))
    for _ in range(2):
        prediction = await client.predict(TASK, b"abc", request_id=request_id)
        assert prediction.output == {"payload": "late"}


async def test_the_first_answer_in_the_log_counts_but_a_prediction_supersedes_a_failure(
    client: Hindsight, producer: AIOKafkaProducer
) -> None:
    first_request, second_request = str(uuid.uuid4()), "again"
    first = await client.send(TASK, b"abc", request_id=first_request)
    second = await client.send(TASK, b"abc", request_id=second_request)
    await publish(producer, make_prediction(first, first_request, {"payload": "one"}))
    await publish(producer, make_prediction(first, first_request, {"payload": "two"}))
    await publish(producer, make_failure(first, first_request, "three"))
    await publish(producer, make_failure(second, second_request, "bad"))
    await publish(producer, make_prediction(second, second_request, {"payload": "two"}))
    await publish(producer, make_prediction("letters:" + str(uuid.uuid4()), "another", {"payload": "end"}))
    answers = await take(client.answers(TASK), 4)
    [only] = [answer for answer in answers if answer.prediction_id == first]
    assert isinstance(only, PredictionMade)
    assert only.output == {"payload": "one"}
    answer_types = [type(answer) for answer in answers if answer.prediction_id == second]
    assert answer_types == [event_types.PredictionFailed, PredictionMade]


async def test_answers_include_all_since_the_first_request(platform: Settings, client: Hindsight) -> None:
    async with run_fake_inference(platform, echo_output):
        expected = [await client.send(TASK, b"early") for _ in range(5)]
        await client.predict(TASK, b"later")
        # Partitions have no order among them: the last one sent may be answered before the others.
        answers = await take(client.answers(TASK), 6)
    assert set(expected) <= {answer.prediction_id for answer in answers}


async def test_records_that_are_not_answers_are_skipped(client: Hindsight, producer: AIOKafkaProducer) -> None:
    expected = await client.send(TASK, b"abc", request_id=(request_id := str(uuid.uuid4())))
    type_header = [("ce_type", PredictionMade.type.encode())]
    await producer.send_and_wait("letters.predictions", b"{", request_id.encode(), headers=type_header)
    await producer.send_and_wait("letters.predictions", b"{}", request_id.encode())
    await publish(producer, make_prediction(expected, request_id, {"payload": "abc"}))
    [answer] = await take(client.answers(TASK), 1)
    assert answer.prediction_id == expected


async def test_a_request_carries_its_attributes(platform: Settings, client: Hindsight) -> None:
    key = str(time.time_ns())
    await client.send(TASK, b"abc", request_id="mine", key=key, subject="page 7", content_type="text/plain")
    record = await read_last(platform, "letters.requests", key)
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
    record = await read_last(platform, "letters.requests", key)
    assert cloudevents.decode_headers(record.headers)["content-type"] == "application/json"
    assert blob_store(platform).get(json.loads(record.value)["uri"], len(payload)) == payload


async def test_the_largest_inline_payload_fits_into_kafka(client: Hindsight) -> None:
    await client.send(TASK, bytes(client.max_inline_bytes))


@pytest.mark.parametrize("by_http", [True, False])
async def test_feedback_reaches_the_log(platform: Settings, by_http: bool) -> None:
    prediction = prediction_id("ocr", SOURCE, str(time.time_ns()))
    async with Hindsight(platform.bootstrap, api_url=api_url(platform) if by_http else None, source=SOURCE) as client:
        event_id = await client.feedback(prediction, correction={"text": "123"}, actor="ada")
    record = await read_last(platform, "ocr.feedback", prediction)
    headers = cloudevents.decode_headers(record.headers)
    assert (headers["ce_id"], headers["ce_source"]) == (event_id, "hindsight/api" if by_http else SOURCE)
    assert FeedbackGiven.model_validate_json(record.value).correction == {"text": "123"}


PREDICTION = prediction_id("ocr", SOURCE, "1")


class FakePlatform:
    """What a client sends: records to Kafka, requests to the API."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: list[bytes] = []
        self.requests: list[httpx.Request] = []

        async def publish(client: Hindsight, topic: str, key: str, value: bytes, headers: Any) -> None:
            assert (topic, key) == ("ocr.feedback", PREDICTION)
            self.values.append(value)

        monkeypatch.setattr(Hindsight, "_publish", publish)

    def connect(self, **options: Any) -> Hindsight:
        """Return a client that is not connected to a broker."""

        def answer(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return httpx.Response(202, json={"id": "the event's", "prediction_id": PREDICTION})

        client = Hindsight(source=SOURCE, **options)
        if client._http is not None:
            client._http = httpx.AsyncClient(base_url="http://api", transport=httpx.MockTransport(answer))
        return client


@pytest.fixture
def fake_platform(monkeypatch: pytest.MonkeyPatch) -> FakePlatform:
    return FakePlatform(monkeypatch)


@pytest.mark.parametrize(
    ("options", "actor"),
    [({"api_url": "http://api", "api_key": "secret"}, None), ({"api_url": "http://api"}, SOURCE), ({}, SOURCE)],
    ids=["key", "no key", "Kafka"],
)
async def test_feedback_without_an_actor_is_attributed_to_the_key_or_else_to_the_source(
    fake_platform: FakePlatform, options: dict[str, str], actor: str | None
) -> None:
    await fake_platform.connect(**options).feedback(PREDICTION, reward=1.0)
    [value] = fake_platform.values or [fake_platform.requests[0].content]
    assert json.loads(value).get("actor") == actor


@pytest.mark.parametrize("options", [{"api_url": "http://api"}, {}], ids=["API", "Kafka"])
async def test_a_preference_is_sent_with_the_other_output(fake_platform: FakePlatform, options: dict[str, str]) -> None:
    preference = {"output": {"text": "12"}, "better": False}
    await fake_platform.connect(**options).feedback(PREDICTION, preference=preference)
    [value] = fake_platform.values or [fake_platform.requests[0].content]
    assert json.loads(value)["preference"] == preference


async def test_a_client_knows_the_prediction_and_the_actor_of_the_feedback_that_it_retracts(
    fake_platform: FakePlatform,
) -> None:
    by_kafka = fake_platform.connect()
    event_id = await by_kafka.feedback(PREDICTION, reward=1.0, actor="ada")
    await by_kafka.retract(event_id)
    retraction = FeedbackRetracted.model_validate_json(fake_platform.values[-1])
    assert retraction == FeedbackRetracted(prediction_id=PREDICTION, retracts=event_id, actor="ada")
    by_http = fake_platform.connect(api_url="http://api")
    event_id = await by_http.feedback(PREDICTION, reward=1.0, actor="ada")
    assert await by_http.retract(event_id) == "the event's"
    request = fake_platform.requests[-1]
    assert (request.method, request.url.path) == ("DELETE", f"/v1/feedback/{event_id}")
    assert dict(request.url.params) == {"prediction_id": PREDICTION, "actor": "ada"}


async def test_feedback_of_another_client_is_retracted_by_its_id_through_the_api(fake_platform: FakePlatform) -> None:
    await fake_platform.connect(api_url="http://api").retract("of/another")
    [request] = fake_platform.requests
    assert (request.url.raw_path, request.content) == (b"/v1/feedback/of%2Fanother", b"")
    by_kafka = fake_platform.connect()
    with pytest.raises(ClientError, match="name its prediction_id"):
        await by_kafka.retract("of another")
    await by_kafka.retract("of another", prediction_id=PREDICTION, actor="ada")
    assert json.loads(fake_platform.values[-1])["retracts"] == "of another"


async def test_refused_feedback_raises_its_reason(client: Hindsight) -> None:
    prediction = prediction_id("ocr", SOURCE, "1")
    with pytest.raises(ClientError, match="at least one of correction, reward, accepted and preference"):
        await client.feedback(prediction, actor="ada")
    with pytest.raises(ClientError, match=r"no symbol for '€'.*422"):
        await client.feedback(prediction, correction={"text": "€"}, actor="ada")


async def test_an_unknown_task_is_a_client_error(client: Hindsight) -> None:
    with pytest.raises(ClientError, match=r"There is no task 'sonar' here, as there is no topic 'sonar\.predictions'"):
        await client.send("sonar", b"ping")


async def test_an_api_that_does_not_answer_is_a_client_error(platform: Settings, brokerless: Settings) -> None:
    async with Hindsight(platform.bootstrap, api_url=api_url(brokerless)) as client:
        with pytest.raises(ClientError, match="does not answer"):
            await client.put_blob(b"payload")
    async with Hindsight(platform.bootstrap) as client:
        with pytest.raises(ClientError, match="api_url"):
            await client.put_blob(b"payload")


async def test_a_broker_that_is_down_is_a_connection_error(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        async with Hindsight(brokerless.bootstrap):
            pass
