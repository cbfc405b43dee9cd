"""An open-loop load: send requests at fixed times, whatever the platform does, and record when each is answered.

Latency counts from the moment a request was *due*: a generator or a platform that falls behind adds latency, and cannot
hide it by sending less (coordinated omission). The load is one plain aiokafka producer and consumer, in a process of
its own. Times are milliseconds since 1970; the generator, the broker and the platform share one clock.
"""

import asyncio
import gc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from app.events import topics
from app.settings import MiB
from benchmarks import kafka_log

LEAD_SECONDS = 0.3


@dataclass(frozen=True)
class Phase:
    """So many requests a second, for so many seconds."""

    rate: float
    seconds: float


@dataclass(frozen=True)
class LoadPlan:
    """A load of phases, of which the first seconds warm up and are not measured."""

    bootstrap: str
    task: str
    phases: tuple[Phase, ...]
    warm_up_seconds: float
    answer_timeout_seconds: float
    """Seconds to wait for answers after the last request."""
    with_stages: bool = True
    """Whether the times of the features are read as well."""

    @property
    def due_seconds(self) -> list[float]:
        """Return when each request is due, from the beginning."""
        due, start = [], 0.0
        for phase in self.phases:
            due += [start + number / phase.rate for number in range(round(phase.rate * phase.seconds))]
            start += phase.seconds
        return due


@dataclass(frozen=True)
class RequestTimes:
    """The times of one request; None for what had not happened when the load ended."""

    due: float
    sent: float
    """When the generator passed it to its producer."""
    logged: float
    """When the broker appended it to the requests."""
    features: float | None
    """When the broker appended its features."""
    answered: float | None
    """When the broker appended its answer."""
    received: float | None
    """When the application received its answer."""
    failed: bool
    reason: str
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class LoadResult:
    """The measured samples, when the load began and the wait for answers ended, and the generator's own CPU time."""

    samples: list[RequestTimes]
    started: float
    ended: float
    cpu_seconds: float


def run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    """Send the requests, receive the answers, and return the times of each request."""
    return asyncio.run(_run_load(plan, payloads))


async def _run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    requests = kafka_log.make_requests(plan.task, payloads, len(plan.due_seconds))
    received: dict[str, tuple[float, ConsumerRecord]] = {}
    features_start = await kafka_log.end_offsets(plan.bootstrap, topics.features(plan.task))
    answers_start = await kafka_log.end_offsets(plan.bootstrap, topics.predictions(plan.task))
    async with (
        AIOKafkaProducer(
            bootstrap_servers=plan.bootstrap, acks="all", enable_idempotence=True, max_request_size=8 * MiB
        ) as producer,
        kafka_log.open_consumer(plan.bootstrap, list(answers_start)) as consumer,
    ):
        for partition, offset in answers_start.items():
            consumer.seek(partition, offset)
        receiving = asyncio.create_task(_receive(consumer, received))
        gc.collect()
        gc.freeze()
        gc.disable()  # a pause of the generator would count as the platform's
        cpu_start = time.process_time()
        due, sent, logged = await _send(plan, producer, requests)
        cpu_seconds = time.process_time() - cpu_start
        deadline = time.monotonic() + plan.answer_timeout_seconds
        while len(received) < len(requests) and time.monotonic() < deadline and not receiving.done():
            await asyncio.sleep(0.02)
        ended = time.time() * 1000
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    features = await _read_times(plan.bootstrap, features_start) if plan.with_stages else {}
    measured_from = due[0] + plan.warm_up_seconds * 1000
    samples = []
    for number, request in enumerate(requests):
        if due[number] >= measured_from:
            times = due[number], sent[number], logged[number], features.get(request.prediction_id)
            samples.append(_request_times(times, received.get(request.prediction_id)))
    return LoadResult(samples, due[0], ended, cpu_seconds)


async def _read_times(bootstrap: str, start_offsets: kafka_log.Offsets) -> dict[str, float]:
    """Return when each event was logged, by its id."""
    records = await kafka_log.read_records_since(bootstrap, start_offsets)
    return {kafka_log.read_event_id(record): float(record.timestamp) for record in records}


async def _send(
    plan: LoadPlan, producer: AIOKafkaProducer, requests: Sequence[kafka_log.Request]
) -> tuple[list[float], list[float], list[float]]:
    """Send the requests; return when each was due, sent, and in the log."""
    topic = topics.requests(plan.task)
    start = time.time() + LEAD_SECONDS
    due = [start + seconds for seconds in plan.due_seconds]
    sent, confirmations = [], []
    for due_time, request in zip(due, requests, strict=True):
        await asyncio.sleep(max(0.0, due_time - time.time()))
        sent.append(time.time() * 1000)
        confirmations.append(await producer.send(topic, request.value, request.key, headers=list(request.headers)))
    logged = [float(metadata.timestamp) for metadata in await asyncio.gather(*confirmations)]
    return [due_time * 1000 for due_time in due], sent, logged


async def _receive(consumer: AIOKafkaConsumer, received: dict[str, tuple[float, ConsumerRecord]]) -> None:
    while True:
        batches = await consumer.getmany(timeout_ms=200)
        now = time.time() * 1000
        for records in batches.values():
            for record in records:
                received.setdefault(kafka_log.read_event_id(record), (now, record))


def _request_times(
    times: tuple[float, float, float, float | None], answer: tuple[float, ConsumerRecord] | None
) -> RequestTimes:
    if answer is None:
        return RequestTimes(*times, None, None, False, "", {})
    received, record = answer
    data = json.loads(record.value)
    if kafka_log.is_failure(record):
        return RequestTimes(*times, float(record.timestamp), received, True, data["error"]["reason"], {})
    return RequestTimes(*times, float(record.timestamp), received, False, "", data["timings_ms"])
