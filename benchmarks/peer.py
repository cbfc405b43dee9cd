"""The simplest peer: an aiokafka consumer that runs ONNX Runtime itself, one event at a time.

It uses the same broker, payloads, preprocessing, model and decoding, but has no envelope and no dead letters, and does
not wait for confirmations before it commits.
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
from benchmarks.in_process import open_session
from models.base import Asked, Task

REQUESTS, ANSWERS = "peer.requests", "peer.predictions"
COMMIT_EVERY = 100
MAX_SECONDS = 20.0
"""The peer stops after this time, even if a part of the backlog is left."""


@dataclass(frozen=True)
class PeerThroughput:
    """The rate at which the peer answers a backlog, and its CPU time for each event."""

    threads: int
    requests: int
    per_second: float
    cpu_ms: float


def measure_peer(
    settings: Settings, task: Task, model: Path, payloads: Sequence[bytes], count: int, threads: int
) -> PeerThroughput:
    """Publish a backlog and answer it. `threads` is the number of ONNX Runtime's threads; 0 is its default."""
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

    for request in backlog[:50]:
        predict(request.value)
    client_options = connection.client_options(settings)
    consumer = AIOKafkaConsumer(
        REQUESTS,
        **client_options,
        group_id=f"peer-{task.name}-{threads}",
        auto_offset_reset="latest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * MiB,
    )
    async with consumer, AIOKafkaProducer(**client_options, acks="all", linger_ms=2) as producer:
        for partition in consumer.assignment():
            await consumer.position(partition)  # fix the start before the backlog is published
        await kafka_log.publish_requests(settings, REQUESTS, backlog)
        started, cpu_started, count = time.perf_counter(), time.process_time(), 0
        async for record in consumer:
            await producer.send(ANSWERS, predict(record.value), record.key)
            count += 1
            is_last = count == len(backlog) or time.perf_counter() - started > MAX_SECONDS
            if is_last or count % COMMIT_EVERY == 0:
                await producer.flush()
                await consumer.commit()
            if is_last:
                break
        seconds = time.perf_counter() - started
        cpu_ms = (time.process_time() - cpu_started) * 1000 / count
    return PeerThroughput(threads, count, count / seconds, cpu_ms)
