"""Saturated throughput: the rate at which a warm pipeline answers a backlog in the log.

The pipeline is stopped while the backlog is published, so that publishing takes no CPU from it. Times are
those at which the broker appended the answers, so that no consumer has to read them meanwhile.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from benchmarks import kafka_log
from benchmarks.child_process import BenchmarkError
from benchmarks.pipeline import Pipeline
from benchmarks.resource_usage import CoreUsage, core_usage

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120.0
SETTLED_SECONDS = 1.5


@dataclass(frozen=True)
class BacklogResult:
    """One backlog: answers per second, from the moment when the pipeline continues to the last answer."""

    requests: int
    seconds: float
    per_second: float
    first_to_last: float
    """Answers per second from the first answer to the last."""
    failed: int
    busy: CoreUsage
    """Cores in use until the last answer."""
    until_settled: CoreUsage
    """Cores in use until the answers were archived and recorded as well."""


async def drain_backlog(pipeline: Pipeline, task: str, payloads: Sequence[bytes], count: int) -> BacklogResult:
    """Publish a backlog and time its answers."""
    bootstrap, topics = pipeline.settings.bootstrap, pipeline.topics(task)
    backlog = kafka_log.make_requests(task, payloads, count)
    start_offsets = await _wait_until_settled(bootstrap, topics.answers)
    async with kafka_log.open_consumer(bootstrap, list(start_offsets)) as consumer:
        consumer.pause(*start_offsets)  # only the end offsets are needed
        with pipeline.paused():
            await kafka_log.publish_requests(pipeline.settings, topics.requests, backlog)
            cpu_before, started = pipeline.cpu(), time.time() * 1000
        await _wait_for_records(consumer, start_offsets, count)
        cpu_after = pipeline.cpu()
    await pipeline.settle()
    cpu_settled = pipeline.cpu()
    keys = {request.key for request in backlog}
    answered: dict[bytes, float] = {}
    failed = 0
    for record in await kafka_log.read_records_since(bootstrap, start_offsets):
        if record.key in keys:
            failed += record.key not in answered and kafka_log.is_failure(record)
            answered[record.key] = min(answered.get(record.key, float("inf")), float(record.timestamp))
    if len(answered) < count:
        raise BenchmarkError(f"{count - len(answered)} of {count} requests have no answer")
    seconds = (max(answered.values()) - started) / 1000
    return BacklogResult(
        requests=count,
        seconds=seconds,
        per_second=count / seconds,
        first_to_last=(count - 1) * 1000 / (max(answered.values()) - min(answered.values())),
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
