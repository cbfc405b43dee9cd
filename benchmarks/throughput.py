"""Saturated throughput: the rate at which a warm platform answers a backlog in the log.

Preprocessing is stopped while the backlog is published, so that publishing takes no CPU from the platform. Times are
those at which the broker appended the answers, so that no consumer has to read them meanwhile.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from app.events import topics
from benchmarks import kafka_log
from benchmarks.child_process import BenchmarkError
from benchmarks.platform import Stack
from benchmarks.resource_usage import CoreUsage, core_usage
from benchmarks.settling import wait_until_settled

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120.0
SETTLED_SECONDS = 1.5


@dataclass(frozen=True)
class BacklogResult:
    """One backlog: answers per second, from the moment when preprocessing continues to the last answer."""

    requests: int
    seconds: float
    per_second: float
    first_to_last: float
    """Answers per second from the first answer to the last."""
    features_per_second: float
    """Features per second, until the last request was preprocessed."""
    failed: int
    busy: CoreUsage
    """Cores in use until the last answer."""
    until_settled: CoreUsage
    """Cores in use until the answers were archived and recorded as well."""


async def drain_backlog(stack: Stack, task: str, payloads: Sequence[bytes], count: int) -> BacklogResult:
    """Publish a backlog and time its answers."""
    bootstrap = stack.settings.bootstrap
    backlog = kafka_log.make_requests(task, payloads, count)
    prediction_ids = {request.prediction_id for request in backlog}
    answers_start = await _wait_until_settled(bootstrap, topics.predictions(task))
    features_start = await kafka_log.end_offsets(bootstrap, topics.features(task))
    async with kafka_log.open_consumer(bootstrap, list(answers_start)) as consumer:
        consumer.pause(*answers_start)  # only the end offsets are needed
        with stack.pause_process("preprocess"):
            await kafka_log.publish_requests(stack.settings, topics.requests(task), backlog)
            cpu_before, started = stack.cpu(), time.time() * 1000
        await _wait_for_records(consumer, answers_start, count)
        cpu_after = stack.cpu()
    await wait_until_settled(stack.settings)
    cpu_settled = stack.cpu()
    answered: dict[str, float] = {}
    failed = 0
    for record in await kafka_log.read_records_since(bootstrap, answers_start):
        prediction_id = kafka_log.read_event_id(record)
        if prediction_id in prediction_ids:
            failed += prediction_id not in answered and kafka_log.is_failure(record)
            answered[prediction_id] = min(answered.get(prediction_id, float("inf")), float(record.timestamp))
    if len(answered) < count:
        raise BenchmarkError(f"{count - len(answered)} of {count} requests have no answer")
    extracted = [float(record.timestamp) for record in await kafka_log.read_records_since(bootstrap, features_start)]
    seconds = (max(answered.values()) - started) / 1000
    return BacklogResult(
        requests=count,
        seconds=seconds,
        per_second=count / seconds,
        first_to_last=(count - 1) * 1000 / (max(answered.values()) - min(answered.values())),
        features_per_second=count * 1000 / (max(extracted) - started) if extracted else 0.0,
        failed=failed,
        busy=core_usage(cpu_before, cpu_after),
        until_settled=core_usage(cpu_before, cpu_settled),
    )


async def _wait_until_settled(bootstrap: str, topic: str) -> kafka_log.Offsets:
    """Return the end offsets of a topic once they stop growing: an earlier load may not be answered yet."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    ends = await kafka_log.end_offsets(bootstrap, topic)
    while time.monotonic() < deadline:
        await asyncio.sleep(SETTLED_SECONDS)
        previous, ends = ends, await kafka_log.end_offsets(bootstrap, topic)
        if ends == previous:
            break
    return ends


async def _wait_for_records(consumer: AIOKafkaConsumer, start_offsets: kafka_log.Offsets, count: int) -> None:
    """Wait until `count` records are appended after the start offsets."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        ends = await consumer.end_offsets(list(start_offsets))
        appended = sum(ends[partition] - offset for partition, offset in start_offsets.items())
        if appended >= count:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"only {appended} of {count} requests were answered in {TIMEOUT_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
