"""Batch mode: the preprocessing of live traffic on bounded input, predicted by MLServer and recorded as events.

Flink reads and preprocesses the files; the handler and the delivery guard of the inference agent predict. With `log`,
each file is recorded as a request, marked `ce_batch` so that the live job ignores it, followed by its prediction.
"""

import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaProducer

from app.client import RECORD_OVERHEAD_BYTES
from app.errors import SetupError
from app.events import topics
from app.events.cloudevents import JSON, ConsumedRecord, Origin, Record, TopicId
from app.events.payload import max_claimed_bytes
from app.inference.handler import STAGE, InferenceHandler
from app.inference.mlserver.client import InferenceClient
from app.inference.routing import pin_champion
from app.kafka import clients
from app.kafka.producers import publish_confirmed
from app.preprocess.files import build_request, kind_of_file, list_uris, media_kind
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.streams.delivery import DeliveryGuard
from app.tasks import load_task

SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("prediction_id", pa.string()),
        ("output", pa.string()),
        ("confidence", pa.float64()),
        ("propensity", pa.float64()),
        ("model", pa.string()),
        ("version", pa.string()),
        ("error_code", pa.string()),
        ("error_reason", pa.string()),
    ]
)
"""`output` is JSON. A row without a prediction has an error instead."""

BatchProgress = Callable[[int, int], None]


def run_batch(
    settings: Settings,
    task: str,
    sources: Sequence[str],
    out: Path,
    *,
    log: bool = True,
    progress: BatchProgress,
    left_out: Callable[[Path], object] = lambda path: None,
) -> dict[str, int]:
    """Predict every payload of the sources (directories, files, blob:// URIs) and write a Parquet file.

    Files of a directory whose names show another kind than the task's samples are left out; `left_out` is called with
    each. Return the counts of `predicted` and `failed`. The file is written completely or not at all.
    """
    kinds = {media_kind(sample.content_type) for sample in load_task(settings, task).samples()}

    def is_payload(path: Path) -> bool:
        if not kinds or kind_of_file(path) in (None, *kinds):
            return True
        left_out(path)
        return False

    uris = list_uris(sources, is_payload)
    if not uris:
        raise SetupError(f"There are no payloads of {task} in {', '.join(sources)}.", "Name a directory with payloads.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_file = out.with_name(f".{out.name}.partial")
    try:
        counts = asyncio.run(BatchPrediction(settings, task, uris, log).write(partial_file, progress))
        partial_file.replace(out)
    finally:
        partial_file.unlink(missing_ok=True)
    return counts


class BatchPrediction:
    """One batch. Its id is part of its requests' source, so that no two batches share an identity."""

    def __init__(self, settings: Settings, task: str, uris: Sequence[str], log: bool) -> None:
        self._settings = settings
        self._task = load_task(settings, task)
        self._uris = uris
        self._log = log
        self._id = str(uuid.uuid4())
        self._handler = InferenceHandler(
            settings, self._task, pin_champion(settings, self._task), partial(InferenceClient, settings)
        )
        self._producer: AIOKafkaProducer | None = None
        self._rows: list[dict[str, Any]] = []

    async def write(self, path: Path, progress: BatchProgress) -> dict[str, int]:
        """Predict every payload, write the file and return the counts."""
        counts = {"predicted": 0, "failed": 0}
        guard = DeliveryGuard(STAGE, self._handler, self._publish, self._handler.reject)
        async with AsyncExitStack() as stack:
            if self._log:
                self._producer = await stack.enter_async_context(self._create_producer())
            writer = stack.enter_context(pq.ParquetWriter(path, SCHEMA))
            progress(0, len(self._uris))
            async for chunk in self._chunks():
                await self._publish_or_raise([self._build_request(position) for position in chunk])
                await self._publish_or_raise(
                    [record for records in chunk.values() if len(records) > 1 for record in records]
                )
                await guard.deliver([self._features(*item) for item in chunk.items() if len(item[1]) == 1])
                failed = sum(row["error_code"] is not None for row in self._rows)
                counts["failed"] += failed
                counts["predicted"] += len(self._rows) - failed
                writer.write_table(pa.Table.from_pylist(self._rows, SCHEMA))
                self._rows.clear()
                progress(sum(counts.values()), len(self._uris))
        return counts

    async def _chunks(self) -> AsyncIterator[dict[int, list[Record]]]:
        """Yield Flink's records of each payload: one features record, or a dead letter and an answer."""
        from app.preprocess.bounded_job import run_file_job

        with tempfile.TemporaryDirectory() as directory:
            rows = await asyncio.to_thread(
                run_file_job, self._settings, self._task, self._uris, self._id, Path(directory)
            )
            groups = ((position, list(group)) for position, group in groupby(rows, key=lambda row: row[0]))
            # Reading waits for Flink, so it runs in a thread.
            while chunk := await asyncio.to_thread(lambda: list(islice(groups, self._settings.batch_size))):
                yield {position: [decode_record(*row) for row in group] for position, group in chunk}

    def _features(self, position: int, records: list[Record]) -> ConsumedRecord:
        [record] = records
        origin = Origin(TopicId(self._id), record.topic, 0, position, round(time.time() * 1000))
        return ConsumedRecord(origin, record.key, record.value, record.headers)

    def _build_request(self, position: int) -> Record:
        value, headers = build_request(self._uris[position], self._id, max_claimed_bytes(self._settings, self._task))
        if self._log and len(value) > self._settings.max_payload_bytes - RECORD_OVERHEAD_BYTES:
            value = json.dumps({"uri": blob_store(self._settings).put(value)}).encode()
            headers += (("content-type", JSON.encode()),)
        mark = (("ce_batch", self._id.encode()),)
        return Record(topics.requests(self._task.name), self._uris[position].encode(), value, headers + mark)

    async def _publish_or_raise(self, records: Sequence[Record]) -> None:
        failures = [error for error in await self._publish(records) if error is not None]
        if failures:
            raise failures[0]

    async def _publish(self, records: Sequence[Record]) -> Sequence[Exception | None]:
        errors: list[Exception | None] = [None] * len(records)
        if self._producer is not None:
            errors = await publish_confirmed(self._producer, records)
        for record, error in zip(records, errors, strict=True):
            if error is None and record.topic == topics.predictions(self._task.name):
                self._rows.append(to_row(record))
        return errors

    def _create_producer(self) -> AIOKafkaProducer:
        max_request_size = topics.max_message_bytes(self._settings)
        return clients.create_producer(self._settings, max_request_size=max_request_size)


def decode_record(position: int, topic: str, key: bytes, value: bytes, headers: str) -> Record:
    """Return the record in a row of the batch job, which has the headers as a JSON object."""
    return Record(topic, key, value, tuple((name, text.encode()) for name, text in json.loads(headers).items()))


def to_row(record: Record) -> dict[str, Any]:
    """Return the row of an answer, whose key is the payload's URI."""
    answer = json.loads(record.value or b"")
    error, model = answer.get("error") or {}, answer.get("model") or {}
    return {
        "uri": (record.key or b"").decode(),
        "prediction_id": answer["prediction_id"],
        "output": json.dumps(answer["output"]) if "output" in answer else None,
        "confidence": answer.get("confidence"),
        "propensity": answer.get("propensity"),
        "model": model.get("name"),
        "version": model.get("version"),
        "error_code": error.get("code"),
        "error_reason": error.get("reason"),
    }
