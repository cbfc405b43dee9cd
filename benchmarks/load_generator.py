"""The open-loop load: requests at fixed times, whatever the platform does, and when each was answered.

Latency counts from the moment a request was *meant* to be sent: a generator or a platform that falls behind makes
latency, and cannot hide it by sending less (coordinated omission). One plain aiokafka producer and consumer, in a
process of its own. Times are milliseconds since 1970; the generator, the broker and the platform share one clock.
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
class LoadPlan:
    """A load: so many requests a second, for some seconds that warm up and some that count."""

    bootstrap: str
    task: str
    rate: float
    warm_up_seconds: float
    seconds: float
    answer_timeout_seconds: float
    """Seconds to wait for answers after the last request."""


@dataclass(frozen=True)
class RequestTimes:
    """The life of one request; None for what had not happened when patience ended."""

    due: float
    sent: float
    """The generator handed it to its producer."""
    logged: float
    """The broker appended it to the requests."""
    features: float | None
    """The broker appended its features."""
    answered: float | None
    """The broker appended its answer."""
    received: float | None
    """The application had the answer in hand."""
    failed: bool
    reason: str
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class LoadResult:
    """The samples that count, when waiting for answers ended, and what the generator itself used."""

    samples: list[RequestTimes]
    ended: float
    cpu_seconds: float


def run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    """Send, receive, and put together what happened when."""
    return asyncio.run(_run_load(plan, payloads))


async def _run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    warm, count = round(plan.rate * plan.warm_up_seconds), round(plan.rate * (plan.warm_up_seconds + plan.seconds))
    requests = kafka_log.make_requests(plan.task, payloads, count)
    received: dict[str, tuple[float, ConsumerRecord]] = {}
    marks = await kafka_log.end_offsets(plan.bootstrap, topics.features(plan.task))
    answers = await kafka_log.end_offsets(plan.bootstrap, topics.predictions(plan.task))
    async with (
        AIOKafkaProducer(
            bootstrap_servers=plan.bootstrap, acks="all", enable_idempotence=True, max_request_size=8 * MiB
        ) as producer,
        kafka_log.open_consumer(plan.bootstrap, list(answers)) as consumer,
    ):
        for partition, offset in answers.items():
            consumer.seek(partition, offset)
        receiving = asyncio.create_task(_receive(consumer, received))
        gc.collect()
        gc.freeze()
        gc.disable()  # a pause of the generator would be counted as the platform's
        used = time.process_time()
        due, sent, logged = await _send(plan, producer, requests)
        cpu_seconds = time.process_time() - used
        deadline = time.monotonic() + plan.answer_timeout_seconds
        while len(received) < count and time.monotonic() < deadline and not receiving.done():
            await asyncio.sleep(0.02)
        ended = time.time() * 1000
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    features = {
        kafka_log.read_event_id(record): float(record.timestamp)
        for record in await kafka_log.read_records_since(plan.bootstrap, marks)
    }
    samples = []
    for number in range(warm, count):
        unique = requests[number].prediction_id
        times = due[number], sent[number], logged[number], features.get(unique)
        samples.append(_request_times(times, received.get(unique)))
    return LoadResult(samples, ended, cpu_seconds)


async def _send(
    plan: LoadPlan, producer: AIOKafkaProducer, requests: Sequence[kafka_log.Request]
) -> tuple[list[float], list[float], list[float]]:
    """When each request was due, was sent, and was in the log."""
    topic = topics.requests(plan.task)
    start = time.time() + LEAD_SECONDS
    due = [start + number / plan.rate for number in range(len(requests))]
    sent, confirmations = [], []
    for moment, one in zip(due, requests, strict=True):
        await asyncio.sleep(max(0.0, moment - time.time()))
        sent.append(time.time() * 1000)
        confirmations.append(await producer.send(topic, one.value, one.key, headers=list(one.headers)))
    logged = [float(confirmed.timestamp) for confirmed in await asyncio.gather(*confirmations)]
    return [moment * 1000 for moment in due], sent, logged


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
    now, record = answer
    said = json.loads(record.value)
    if kafka_log.is_failure(record):
        return RequestTimes(*times, float(record.timestamp), now, True, said["error"]["reason"], {})
    return RequestTimes(*times, float(record.timestamp), now, False, "", said["timings_ms"])
