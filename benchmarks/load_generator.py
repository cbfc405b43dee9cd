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
class LoadPlan:
    """A load: `rate` requests a second, for seconds that warm up and then for seconds that are measured."""

    bootstrap: str
    task: str
    rate: float
    warm_up_seconds: float
    seconds: float
    answer_timeout_seconds: float
    """Seconds to wait for answers after the last request."""

    @property
    def request_count(self) -> int:
        """Return the number of requests, with those that warm up."""
        return round(self.rate * (self.warm_up_seconds + self.seconds))


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
    """The measured samples, when the wait for answers ended, and the CPU time of the generator itself."""

    samples: list[RequestTimes]
    ended: float
    cpu_seconds: float


def run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    """Send the requests, receive the answers, and return the times of each request."""
    return asyncio.run(_run_load(plan, payloads))


async def _run_load(plan: LoadPlan, payloads: Sequence[bytes]) -> LoadResult:
    warm_up_count = round(plan.rate * plan.warm_up_seconds)
    count = plan.request_count
    requests = kafka_log.make_requests(plan.task, payloads, count)
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
        while len(received) < count and time.monotonic() < deadline and not receiving.done():
            await asyncio.sleep(0.02)
        ended = time.time() * 1000
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    features = {
        kafka_log.read_event_id(record): float(record.timestamp)
        for record in await kafka_log.read_records_since(plan.bootstrap, features_start)
    }
    samples = []
    for number in range(warm_up_count, count):
        prediction_id = requests[number].prediction_id
        times = due[number], sent[number], logged[number], features.get(prediction_id)
        samples.append(_request_times(times, received.get(prediction_id)))
    return LoadResult(samples, ended, cpu_seconds)


async def _send(
    plan: LoadPlan, producer: AIOKafkaProducer, requests: Sequence[kafka_log.Request]
) -> tuple[list[float], list[float], list[float]]:
    """Send the requests; return when each was due, sent, and in the log."""
    topic = topics.requests(plan.task)
    start = time.time() + LEAD_SECONDS
    due = [start + number / plan.rate for number in range(len(requests))]
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
