"""The Python client: send a request, await its answer, give feedback.

async with Hindsight("127.0.0.1:9092", api_url="http://127.0.0.1:8000") as hindsight:
    prediction = await hindsight.predict("ocr", Path("line.png").read_bytes())
    print(prediction.output["text"], prediction.confidence)
    feedback_id = await hindsight.feedback(prediction.prediction_id, correction={"text": "123"}, actor="ada")
    await hindsight.retract(feedback_id)  # it was wrong: it no longer counts
"""

import asyncio
import json
import logging
import socket
import ssl
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from pydantic import ValidationError

from app.events import cloudevents, decoding, ids, topics
from app.events import types as event_types
from app.events.base import describe_problems
from app.events.cloudevents import JSON, Event, format_rfc3339
from app.events.types import FeedbackGiven, FeedbackRetracted, PredictionMade, PredictionRequested
from app.settings import MiB
from models.base import Rejected

logger = logging.getLogger(__name__)

Answer = PredictionMade | event_types.PredictionFailed
FeedbackEventT = TypeVar("FeedbackEventT", FeedbackGiven, FeedbackRetracted)

RECORD_OVERHEAD_BYTES = 64 * 1024
"""Bound of what a record needs besides its payload."""
MAX_REMEMBERED_FEEDBACK = 10_000
"""Bound of the feedback that can be retracted by its id alone, before the platform has recorded it."""
MAX_REMEMBERED_ANSWERS = 10_000
"""Bound of the memory that recognizes a repeated answer: its records are seconds apart, not ten thousand answers."""


_KEY_OWNER = "the owner of the API key"
"""Stands for an actor whose name only the API knows; it is not sent."""


class ClientError(Exception):
    """An error of the client, with a message for the caller."""


class PredictionError(ClientError):
    """The platform answered that it can't predict this request."""

    def __init__(self, answer: event_types.PredictionFailed) -> None:
        super().__init__(f"{answer.error.reason} ({answer.error.stage}: {answer.error.code})")
        self.answer = answer


class Hindsight:
    """A connection to the platform. With an `api_url`, feedback goes through the API, which checks it; else to Kafka.

    `source` names the application. The prediction's id derives from it and the request's id, so a request that is sent
    twice has one prediction. `kafka` has further options of aiokafka: `security_protocol`, `sasl_mechanism` ...
    `verify` is httpx's option: the certificates with which to verify an `https://` API.
    """

    def __init__(
        self,
        bootstrap: str = "127.0.0.1:9092",
        *,
        api_url: str | None = None,
        api_key: str | None = None,
        verify: ssl.SSLContext | bool = True,
        source: str = f"client/{socket.gethostname()}",
        max_payload_bytes: int = 8 * MiB,
        kafka: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._kafka = {"bootstrap_servers": bootstrap, **kafka}
        self.source = source
        self.max_inline_bytes = max_payload_bytes - RECORD_OVERHEAD_BYTES
        self._max_request_bytes = max_payload_bytes
        self._default_actor = None if api_url and api_key else source
        self._given_feedback: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = (
            httpx.AsyncClient(base_url=api_url, headers=headers, verify=verify, timeout=30) if api_url else None
        )
        self._start_offsets: dict[str, dict[TopicPartition, int]] = {}
        self._start_offsets_lock = asyncio.Lock()
        self._pending_answers: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()
        self._delivery_tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **self._kafka, acks="all", enable_idempotence=True, max_request_size=self._max_request_bytes
        )
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for delivery in self._delivery_tasks.values():
            delivery.cancel()
        await asyncio.gather(*self._delivery_tasks.values(), return_exceptions=True)
        with suppress(TimeoutError):  # without a broker it would never end
            async with asyncio.timeout(5):
                await self._producer.stop()
        if self._http is not None:
            await self._http.aclose()

    async def send(
        self,
        task: str,
        payload: bytes,
        *,
        request_id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, str] | None = None,
        blob: bool = False,
    ) -> str:
        """Publish a request. Return the id of its prediction once the broker has confirmed the request.

        `extensions` are further attributes of the event, such as `{"stream": "camera-1"}` of a frame. `blob` sends the
        payload through blob storage, which payloads too large for Kafka need.
        """
        if blob:
            payload, content_type = json.dumps({"uri": await self.put_blob(payload)}).encode(), JSON
        elif len(payload) > self.max_inline_bytes:
            raise ClientError(
                f"{len(payload)} bytes exceed the limit of Kafka ({self.max_inline_bytes}): use blob=True"
            )
        await self._answer_start_offsets(task)
        request_id = request_id or str(uuid.uuid4())
        event = Event(
            id=request_id,
            type=PredictionRequested.type,
            source=self.source,
            time=format_rfc3339(time.time() * 1000),
            data=payload,
            subject=subject,
            content_type=content_type,
            extensions=dict(extensions or {}),
        )
        await self._publish(topics.requests(task), key or request_id, event.data, event.to_headers())
        return ids.prediction_id(task, self.source, request_id)

    async def predict(self, task: str, payload: bytes, timeout: float = 30.0, **attributes: Any) -> PredictionMade:  # noqa: ASYNC109
        """Send a request and return its prediction. `attributes` are the arguments of `send`.

        Raises `PredictionError` with the platform's reason, and TimeoutError if there is no answer in time.
        """
        request_id = attributes.pop("request_id", None) or str(uuid.uuid4())
        expected = self._pending_answer(ids.prediction_id(task, self.source, request_id))
        async with asyncio.timeout(timeout):
            if not expected.done():
                await self.send(task, payload, request_id=request_id, **attributes)
                delivery = self._delivery_tasks.get(task)
                if delivery is None or delivery.done():
                    delivery = self._delivery_tasks[task] = asyncio.create_task(self._deliver_answers(task))
                await asyncio.wait((expected, delivery), return_when=asyncio.FIRST_COMPLETED)
                if not expected.done():
                    raise ClientError(f"the answers of {task} can't be read: {delivery.exception()}")
        answer = expected.result()
        if isinstance(answer, event_types.PredictionFailed):
            raise PredictionError(answer)
        return answer

    async def answers(self, task: str) -> AsyncGenerator[Answer, None]:
        """Yield every answer of a task once: all since this client's first request, or since now without one.

        A prediction is also yielded after the failure that it supersedes, for example when a dead letter is replayed.
        """
        seen: OrderedDict[str, bool] = OrderedDict()
        async with aclosing(self._read_answers(task)) as answers:
            async for answer in answers:
                is_prediction = isinstance(answer, PredictionMade)
                if answer.prediction_id not in seen or (is_prediction and not seen[answer.prediction_id]):
                    seen[answer.prediction_id] = is_prediction
                    if len(seen) > MAX_REMEMBERED_ANSWERS:
                        seen.popitem(last=False)
                    yield answer

    async def feedback(
        self,
        prediction_id: str,
        *,
        actor: str | None = None,
        correction: dict[str, Any] | None = None,
        reward: float | None = None,
        accepted: bool | None = None,
    ) -> str:
        """Send a correction, a reward, or the confirmation that the output is right. Return the event's id.

        `actor` is who gives it: by default the owner of the `api_key`; without a key, the client's `source`.
        """
        actor = actor or self._default_actor
        feedback = _build_event(
            FeedbackGiven,
            prediction_id=prediction_id,
            correction=correction,
            reward=reward,
            accepted=accepted,
            actor=actor or _KEY_OWNER,
        )
        event_id = str(uuid.uuid4())
        if self._http is not None:
            body = feedback.model_dump(exclude_none=True, exclude=set() if actor else {"actor"})
            await self._request("POST", "/v1/feedback", json=body, headers={"Idempotency-Key": event_id})
        else:
            await self._publish_feedback(feedback, event_id)
        self._given_feedback[event_id] = (prediction_id, actor)
        if len(self._given_feedback) > MAX_REMEMBERED_FEEDBACK:
            self._given_feedback.popitem(last=False)
        return event_id

    async def retract(self, feedback_id: str, *, prediction_id: str | None = None, actor: str | None = None) -> str:
        """Retract feedback by the id of its event, so that it no longer counts. Return the id of the retraction.

        `prediction_id` and `actor` are those of the feedback. The client knows them of feedback that it has given, and
        the API of feedback that is recorded. Without an `api_url`, the prediction of other feedback is needed.
        """
        known_prediction, known_actor = self._given_feedback.get(feedback_id, (None, None))
        prediction_id, actor = prediction_id or known_prediction, actor or known_actor
        if self._http is not None:
            names = {"prediction_id": prediction_id, "actor": actor}
            params = {name: value for name, value in names.items() if value is not None}
            path = f"/v1/feedback/{quote(feedback_id, safe='')}"
            return str((await self._request("DELETE", path, params=params))["id"])
        if prediction_id is None:
            raise ClientError(f"this client has not given the feedback {feedback_id!r}: name its prediction_id")
        retraction = _build_event(
            FeedbackRetracted,
            prediction_id=prediction_id,
            retracts=feedback_id,
            actor=actor or self._default_actor,
        )
        event_id = str(uuid.uuid4())
        await self._publish_feedback(retraction, event_id)
        return event_id

    async def _publish_feedback(self, event: FeedbackGiven | FeedbackRetracted, event_id: str) -> None:
        task, key = event.task_and_prediction
        event_time = format_rfc3339(time.time() * 1000)
        record = event.to_record(topics.feedback(task), None, id=event_id, source=self.source, time=event_time)
        await self._publish(record.topic, key, record.value or b"", record.headers)

    async def put_blob(self, payload: bytes) -> str:
        """Store a large payload in blob storage and return its URI."""
        claim_check = await self._request("POST", "/v1/blobs", content=payload)
        return str(claim_check["uri"])

    async def _request(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        if self._http is None:
            raise ClientError(f"{path} needs the API: give the client an api_url")
        try:
            response = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise ClientError(f"the API at {self._http.base_url} does not answer: {error}") from error
        answer = response.json()
        if not response.is_success:
            raise ClientError(f"{answer['detail']} (HTTP {response.status_code})")
        return dict(answer)

    async def _publish(self, topic: str, key: str, value: bytes, headers: cloudevents.Headers) -> None:
        await self._producer.send_and_wait(topic, value, key.encode(), headers=list(headers))

    def _pending_answer(self, prediction_id: str) -> asyncio.Future[Answer]:
        """Return the future of an answer. It is kept when done, so that a repeated request has the same answer."""
        future = self._pending_answers.setdefault(prediction_id, asyncio.get_running_loop().create_future())
        if len(self._pending_answers) > MAX_REMEMBERED_ANSWERS:
            self._pending_answers.popitem(last=False)
        return future

    async def _deliver_answers(self, task: str) -> None:
        async for answer in self._read_answers(task):
            future = self._pending_answers.get(answer.prediction_id)
            if future is not None and not future.done():
                future.set_result(answer)

    async def _read_answers(self, task: str) -> AsyncGenerator[Answer, None]:
        start_offsets = await self._answer_start_offsets(task)
        consumer = AIOKafkaConsumer(**self._kafka, isolation_level="read_committed")
        consumer.assign(list(start_offsets))
        try:
            await consumer.start()
            for partition, offset in start_offsets.items():
                consumer.seek(partition, offset)
            async for record in consumer:
                if (answer := parse_answer(record)) is not None:
                    yield answer
        finally:
            await consumer.stop()

    async def _answer_start_offsets(self, task: str) -> dict[TopicPartition, int]:
        """Return the end of the task's answers before this client's first request: its answers come after it."""
        async with self._start_offsets_lock:
            if task not in self._start_offsets:
                self._start_offsets[task] = await self._end_offsets(task)
        return self._start_offsets[task]

    async def _end_offsets(self, task: str) -> dict[TopicPartition, int]:
        topic = topics.predictions(task)
        consumer = AIOKafkaConsumer(**self._kafka, isolation_level="read_committed")
        try:
            await consumer.start()
            if topic not in await consumer.topics():
                raise ClientError(
                    f"There is no task {task!r} here, as there is no topic {topic!r}. Check its name, and that the "
                    "platform runs."
                )
            partitions = await self._producer.partitions_for(topic)
            return dict(await consumer.end_offsets([TopicPartition(topic, number) for number in partitions]))
        finally:
            await consumer.stop()


def _build_event(event_type: type[FeedbackEventT], **fields: Any) -> FeedbackEventT:
    """Return the event's data. Raises `ClientError` with the reason why it is not valid."""
    try:
        return event_type(**fields)
    except ValidationError as error:
        raise ClientError(describe_problems(error)) from None


def parse_answer(record: ConsumerRecord) -> Answer | None:
    """Return the answer in a record of `<task>.predictions`; None if this version can't read one."""
    event_type = cloudevents.header_text(record.headers, "ce_type") or ""
    if not event_type.startswith("hindsight."):  # an application's own event
        return None
    try:
        data = decoding.decode(event_type, record.value or b"")
    except Rejected as error:
        logger.warning("unreadable answer at %s/%d/%d: %s", record.topic, record.partition, record.offset, error)
        return None
    return data if isinstance(data, Answer) else None
