"""The Python client: send a request, await its answer, give feedback.

async with Hindsight("127.0.0.1:9092", api_url="http://127.0.0.1:8000") as hindsight:
    prediction = await hindsight.predict("ocr", Path("line.png").read_bytes())
    print(prediction.output["text"], prediction.confidence)
    feedback_id = await hindsight.feedback(prediction.prediction_id, correction={"text": "123"}, actor="ada")
    await hindsight.retract(feedback_id)  # it was wrong: it no longer counts
"""

import asyncio
import json
import socket
import ssl
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from app.client.answers import Answer, AnswerReader, PendingAnswers
from app.client.errors import ClientError, PredictionError
from app.events import ids, topics
from app.events.base import describe_problems
from app.events.cloudevents import JSON, Event, Headers, format_rfc3339
from app.events.types import (
    FeedbackGiven,
    FeedbackRetracted,
    PredictionFailed,
    PredictionMade,
    PredictionRequested,
    ReviewQueue,
)
from app.settings import MiB
from app.settings.namespace import NAMESPACE

FeedbackEventT = TypeVar("FeedbackEventT", FeedbackGiven, FeedbackRetracted)

RECORD_OVERHEAD_BYTES = 64 * 1024
"""Bound of what a record needs besides its payload."""
MAX_REMEMBERED_FEEDBACK = 10_000
"""Bound of the feedback that can be retracted by its id alone, before the platform has recorded it."""
_KEY_OWNER = "the owner of the API key"
"""Stands for an actor whose name only the API knows; it is not sent."""


class Hindsight:
    """A connection to the platform. With an `api_url`, feedback goes through the API, which checks it; else to Kafka.

    `source` names the application. The prediction's id derives from it and the request's id, so a request that is sent
    twice has one prediction. `namespace` is the platform's HINDSIGHT_NAMESPACE. `kafka` has further options of
    aiokafka: `security_protocol`, `sasl_mechanism` ... `verify` is httpx's option: the certificates with which to
    verify an `https://` API.
    """

    def __init__(
        self,
        bootstrap: str = "127.0.0.1:9092",
        *,
        api_url: str | None = None,
        api_key: str | None = None,
        verify: ssl.SSLContext | bool = True,
        namespace: str = NAMESPACE,
        source: str = f"client/{socket.gethostname()}",
        max_payload_bytes: int = 8 * MiB,
        kafka: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._kafka = {"bootstrap_servers": bootstrap, **kafka}
        self.source = source
        self._namespace = namespace
        self.max_inline_bytes = max_payload_bytes - RECORD_OVERHEAD_BYTES
        self._max_request_bytes = max_payload_bytes
        self._default_actor = None if api_url and api_key else source
        self._given_feedback: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = (
            httpx.AsyncClient(base_url=api_url, headers=headers, verify=verify, timeout=30) if api_url else None
        )

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **self._kafka, acks="all", enable_idempotence=True, max_request_size=self._max_request_bytes
        )
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        self._answers = AnswerReader(self._kafka, self._producer, self._namespace)
        self._pending = PendingAnswers(self._answers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pending.close()
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
        await self._answers.fix_start(task)
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
        await self._publish(topics.requests(task, self._namespace), key or request_id, event.data, event.to_headers())
        return ids.prediction_id(task, self.source, request_id)

    async def predict(self, task: str, payload: bytes, timeout: float = 30.0, **attributes: Any) -> PredictionMade:  # noqa: ASYNC109
        """Send a request and return its prediction. `attributes` are the arguments of `send`.

        Raises `PredictionError` with the platform's reason, and TimeoutError if there is no answer in time.
        """
        request_id = attributes.pop("request_id", None) or str(uuid.uuid4())
        expected = self._pending.expect(ids.prediction_id(task, self.source, request_id))
        async with asyncio.timeout(timeout):
            if not expected.done():
                await self.send(task, payload, request_id=request_id, **attributes)
            answer = await self._pending.wait(task, expected)
        if isinstance(answer, PredictionFailed):
            raise PredictionError(answer)
        return answer

    def answers(self, task: str) -> AsyncGenerator[Answer, None]:
        """Yield every answer of a task once: all since this client's first request, or since now without one.

        A prediction is also yielded after the failure that it supersedes, for example when a dead letter is replayed.
        """
        return self._answers.read_distinct(task)

    async def feedback(
        self,
        prediction_id: str,
        *,
        actor: str | None = None,
        correction: dict[str, Any] | None = None,
        reward: float | None = None,
        reward_name: str | None = None,
        position: int | None = None,
        accepted: bool | None = None,
        preference: dict[str, Any] | None = None,
        queue: ReviewQueue | None = None,
        blind: bool | None = None,
    ) -> str:
        """Send a correction, a reward, an acceptance, or a preference. Return the event's id.

        `reward_name` is one of the task's named rewards, such as `click`; `position` is that of a slate, from 1.
        A preference is another output, and whether it is better than the served one: `{"output": ..., "better": True}`.
        `actor` is who gives it: by default the owner of the `api_key`; without a key, the client's `source`. A review
        tool says which `queue` asked for it, since only then it answers the audit, and whether the actor answered
        `blind`, before the output was shown.
        """
        actor = actor or self._default_actor
        feedback = _build_event(
            FeedbackGiven,
            prediction_id=prediction_id,
            correction=correction,
            reward=reward,
            reward_name=reward_name,
            position=position,
            accepted=accepted,
            preference=preference,
            queue=queue,
            blind=blind,
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
        record = event.to_record(
            topics.feedback(task, self._namespace), None, id=event_id, source=self.source, time=event_time
        )
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

    async def _publish(self, topic: str, key: str, value: bytes, headers: Headers) -> None:
        await self._producer.send_and_wait(topic, value, key.encode(), headers=list(headers))


def _build_event(event_type: type[FeedbackEventT], **fields: Any) -> FeedbackEventT:
    """Return the event's data. Raises `ClientError` with the reason why it is not valid."""
    try:
        return event_type(**fields)
    except ValidationError as error:
        raise ClientError(describe_problems(error)) from None
