"""The table function of the Flink job: one Kafka record in, the records that answer it out."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pyflink.common import Row
from pyflink.table.udf import FunctionContext, TableFunction

from app import topics, tracing
from app.cloudevents import LogEpoch, Origin
from app.logepoch import KnownEpochs, log_epochs
from app.preprocess.requests import STAGE, Preprocessor
from app.preprocess.source import path_of, request
from app.preprocess.traced import Traced
from app.settings import Settings
from models.base import Rejected

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
KILLS = Rejected("kills_process", "the preprocessing process died each of the three times that it read this payload")


class Preprocess(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows (topic, key, value, headers) of one request: its features, or a dead letter and an answer."""

    def __init__(self, settings: Settings, quarantined: frozenset[str], serves_metrics: bool) -> None:
        self._settings = settings
        self._quarantined = quarantined
        self._serves_metrics = serves_metrics

    def open(self, context: FunctionContext) -> None:
        """Load the tasks where the job runs: nothing of them is shipped with the plan."""
        # Flink's handler takes every library's every word, and each costs a call into Java.
        logging.getLogger().setLevel(logging.WARNING)
        from app.blobs import blob_store
        from app.monitoring import metrics
        from app.preprocess.suspects import Flight
        from app.tasks import load

        get = blob_store(self._settings).get
        limit = topics.max_features_bytes(self._settings)
        self._tracing = tracing.of(self._settings, STAGE)
        self._preprocessors = {
            topics.requests(name): self._traced(Preprocessor(task, patiently(get), limit))
            for name, task in load(self._settings).items()
        }
        self._epochs = KnownEpochs()
        self._flight = Flight(flights(self._settings))
        self._metrics = metrics
        for name in self._settings.tasks:
            metrics.expected(name, STAGE)
            metrics.REQUESTS.labels(name, "", "", "failed")
        if self._serves_metrics:
            _serve_metrics(self._settings.preprocess_metrics_port, self._settings.metrics_host, self._settings.home)
            metrics.READY.set(1)

    def close(self) -> None:
        """The instance ends in good order. Where it was for a fault that may pass, Flink opens it again."""
        if self._serves_metrics:
            self._metrics.READY.set(0)
        self._flight.close()
        if self._tracing is not None:
            self._tracing.flush()

    def eval(
        self,
        topic: str,
        partition: int,
        offset: int,
        logged: datetime,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, bytes] | None,
    ) -> Iterator[Row]:
        """The rows of one record. Never raises for what the record holds."""
        timestamp_ms = round(logged.replace(tzinfo=UTC).timestamp() * 1000)
        origin = Origin(self._epoch(topic, partition, offset), topic, partition, offset, timestamp_ms)
        originals = tuple((headers or {}).items())
        preprocessor = self._preprocessors[topic]
        with self._flight.of(origin.place):
            outputs = preprocessor(origin, key, value, originals, KILLS if origin.place in self._quarantined else None)
        if outputs.rejected is not None:
            self._metrics.rejected(preprocessor.task.name, STAGE, outputs.rejected.code)
        for record in outputs.records:
            yield Row(record.topic, record.key, record.value, dict(record.headers))

    def _traced(self, preprocessor: Preprocessor) -> Preprocessor | Traced:
        return preprocessor if self._tracing is None else Traced(preprocessor, self._tracing)

    def _epoch(self, topic: str, partition: int, offset: int) -> LogEpoch:
        epoch = self._epochs.of(topic, partition, offset)
        if epoch is None:
            epoch = asyncio.run(log_epochs(self._settings, [topic]))[topic]
        self._epochs.learn(topic, partition, offset, epoch)
        return epoch


class PreprocessFile(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows (position, topic, key, value, headers as JSON) of one payload of a batch."""

    def __init__(self, settings: Settings, task: str, batch: str) -> None:
        self._settings = settings
        self._name = task
        self._batch = batch

    def open(self, context: FunctionContext) -> None:
        """Load the task where the job runs."""
        from app.blobs import blob_store
        from app.tasks import load

        task = load(self._settings)[self._name]
        fetch = files_and(blob_store(self._settings).get)
        self._preprocessor = Preprocessor(task, fetch, topics.max_features_bytes(self._settings))

    def eval(self, position: int, uri: str) -> Iterator[Row]:
        """The rows of one payload."""
        task = self._preprocessor.task
        value, headers = request(uri, self._batch, task.max_payload_bytes)
        origin = Origin(LogEpoch(self._batch), topics.requests(task.name), 0, position, round(time.time() * 1000))
        for record in self._preprocessor(origin, uri.encode(), value, headers).records:
            texts = {name: text.decode() for name, text in record.headers}
            yield Row(position, record.topic, record.key, record.value, json.dumps(texts))


class PreprocessArchived(TableFunction):  # type: ignore[misc]  # pyflink has no types
    """Rows as those of `PreprocessFile`, of one request of the archive."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._name = task

    def open(self, context: FunctionContext) -> None:
        """Load the task where the job runs."""
        from app.blobs import blob_store
        from app.tasks import load

        task = load(self._settings)[self._name]
        limit = topics.max_features_bytes(self._settings)
        self._preprocessor = Preprocessor(task, files_and(blob_store(self._settings).get), limit)

    def eval(self, position: int, value: bytes, headers: str) -> Iterator[Row]:
        """The rows of one request, which has an id and a source."""
        said = tuple((name, text.encode()) for name, text in json.loads(headers).items())
        origin = Origin(LogEpoch("archive"), topics.requests(self._name), 0, position, 0)
        for record in self._preprocessor(origin, None, value, said).records:
            texts = {name: text.decode() for name, text in record.headers}
            yield Row(position, record.topic, record.key, record.value, json.dumps(texts))


def files_and(get: Callable[[str, int], bytes]) -> Callable[[str, int], bytes]:
    """Read blobs; a `file://` claim, made for a file that could not be taken whole, says why."""

    def fetch(uri: str, limit: int) -> bytes:
        if not uri.startswith("file://"):
            return get(uri, limit)
        try:
            size = path_of(uri).stat().st_size
        except OSError as error:
            raise Rejected("unreadable", f"{uri} can't be read: {error}") from error
        if size > limit:
            raise Rejected("too_large", f"{uri} has {size:,} bytes; at most {limit:,} are taken")
        raise Rejected("unreadable", f"{uri} can't be read: permission is denied")

    return fetch


@cache
def _serve_metrics(port: int, host: str, home: Path) -> None:
    """Once for each process: Flink opens the function again after each fault that passed."""
    from app.monitoring import metrics

    metrics.serve(port, host, home)


def flights(settings: Settings) -> Path:
    """Where the job notes what it is working on."""
    return settings.home / "preprocess"


def patiently(get: Callable[[str, int], bytes]) -> Callable[[str, int], bytes]:
    """Read blobs for as long as it takes: a blob store that is away makes events wait, and loses none."""

    def fetch(uri: str, limit: int) -> bytes:
        while True:
            try:
                return get(uri, limit)
            except OSError as error:
                log.warning("blob storage is away, %s waits: %s", uri, error)
                time.sleep(_RETRY_SECONDS)

    return fetch
