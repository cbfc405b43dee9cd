"""Saturated throughput: a backlog is in the log, the platform is up and warm; how quickly is it answered?

The preprocessing stands still while the backlog is published, so that publishing costs the platform nothing. Then it
goes on, and the broker's own times of the answers tell when the last was given: nobody reads along.
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

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120.0
SETTLED_SECONDS = 1.5


@dataclass(frozen=True)
class BacklogResult:
    """One backlog: answers a second from the moment that preprocessing went on to the last answer."""

    requests: int
    seconds: float
    per_second: float
    first_to_last: float
    """The same from the first answer to the last."""
    features_per_second: float
    """How quickly preprocessing was through with it."""
    failed: int
    busy: CoreUsage


async def drain_backlog(stack: Stack, task: str, payloads: Sequence[bytes], count: int) -> BacklogResult:
    """Publish a backlog and time its answers."""
    bootstrap = stack.settings.bootstrap
    backlog = kafka_log.make_requests(task, payloads, count)
    wanted = {one.prediction_id for one in backlog}
    answers = await _wait_until_settled(bootstrap, topics.predictions(task))
    features = await kafka_log.end_offsets(bootstrap, topics.features(task))
    async with kafka_log.open_consumer(bootstrap, list(answers)) as consumer:
        consumer.pause(*answers)  # it only asks how far they go
        with stack.pause_process("preprocess"):
            await kafka_log.publish_requests(stack.settings, topics.requests(task), backlog)
            before, began = stack.cpu(), time.time() * 1000
        await _wait_for_records(consumer, answers, count)
        after = stack.cpu()
    first: dict[str, float] = {}
    failed = 0
    for record in await kafka_log.read_records_since(bootstrap, answers):
        unique = kafka_log.read_event_id(record)
        if unique in wanted:
            failed += unique not in first and kafka_log.is_failure(record)
            first[unique] = min(first.get(unique, float("inf")), float(record.timestamp))
    if len(first) < count:
        raise BenchmarkError(f"{count - len(first)} of {count} requests have no answer")
    ready = [float(record.timestamp) for record in await kafka_log.read_records_since(bootstrap, features)]
    seconds = (max(first.values()) - began) / 1000
    return BacklogResult(
        requests=count,
        seconds=seconds,
        per_second=count / seconds,
        first_to_last=(count - 1) * 1000 / (max(first.values()) - min(first.values())),
        features_per_second=count * 1000 / (max(ready) - began) if ready else 0.0,
        failed=failed,
        busy=core_usage(before, after),
    )


async def _wait_until_settled(bootstrap: str, topic: str) -> kafka_log.Offsets:
    """Where a topic ends once nothing comes any more: an earlier load may have been too much."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    last = await kafka_log.end_offsets(bootstrap, topic)
    while time.monotonic() < deadline:
        await asyncio.sleep(SETTLED_SECONDS)
        now = await kafka_log.end_offsets(bootstrap, topic)
        if now == last:
            break
        last = now
    return last


async def _wait_for_records(consumer: AIOKafkaConsumer, start_offsets: kafka_log.Offsets, count: int) -> None:
    """Return once so many records are there."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        now = await consumer.end_offsets(list(start_offsets))
        grown = sum(now[partition] - offset for partition, offset in start_offsets.items())
        if grown >= count:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"only {grown} of {count} requests were answered in {TIMEOUT_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
