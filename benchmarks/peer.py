"""The peer: what one writes without a platform. An aiokafka consumer with ONNX Runtime inside, one event at a time.

The same broker, payloads, preprocessing, model and decoding; no envelope, no dead letters, no confirmed-before-commit.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.inference.predictor import stack_inputs
from app.kafka import connection
from app.settings import MiB, Settings
from benchmarks import kafka_log
from benchmarks.runtime_limit import open_session
from models.base import Asked, Task

REQUESTS, ANSWERS = "peer.requests", "peer.predictions"
COMMIT_EVERY = 100
MAX_SECONDS = 20.0
"""It may leave the rest of the backlog then: its pace is known."""


@dataclass(frozen=True)
class PeerThroughput:
    """How quickly the peer answers a backlog, and the processor time that it takes for each event."""

    threads: int
    requests: int
    per_second: float
    cpu_ms: float


def measure_peer(
    settings: Settings, task: Task, model: Path, payloads: Sequence[bytes], count: int, threads: int
) -> PeerThroughput:
    """Publish a backlog, then answer it. `threads` of ONNX Runtime, 0 is its default."""
    backlog = kafka_log.make_requests(task.name, payloads, count)
    return asyncio.run(_answer_backlog(settings, task, model, backlog, threads))


async def _answer_backlog(
    settings: Settings, task: Task, model: Path, backlog: Sequence[kafka_log.Request], threads: int
) -> PeerThroughput:
    runtime = open_session(model, threads)
    names = [tensor.name for tensor in runtime.get_outputs()]

    def predict(payload: bytes) -> bytes:
        features = task.preprocess(payload)
        outputs = runtime.run(names, stack_inputs(task, [features]))
        decoded = task.decode(dict(zip(names, outputs, strict=True)), [Asked("", features)])[0]
        return json.dumps({"output": decoded.output, "confidence": decoded.confidence}).encode()

    for one in backlog[:50]:
        predict(one.value)
    kafka = connection.client_options(settings)
    consumer = AIOKafkaConsumer(
        REQUESTS,
        **kafka,
        group_id=f"peer-{task.name}-{threads}",
        auto_offset_reset="latest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * MiB,
    )
    async with consumer, AIOKafkaProducer(**kafka, acks="all", linger_ms=2) as producer:
        for partition in consumer.assignment():
            await consumer.position(partition)  # where it ends now, before the backlog comes
        await kafka_log.publish_requests(settings, REQUESTS, backlog)
        began, used, done = time.perf_counter(), time.process_time(), 0
        async for record in consumer:
            await producer.send(ANSWERS, predict(record.value), record.key)
            done += 1
            last = done == len(backlog) or time.perf_counter() - began > MAX_SECONDS
            if last or done % COMMIT_EVERY == 0:
                await producer.flush()
                await consumer.commit()
            if last:
                break
        seconds = time.perf_counter() - began
        cpu_ms = (time.process_time() - used) * 1000 / done
    return PeerThroughput(threads, done, done / seconds, cpu_ms)
