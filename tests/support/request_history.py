"""Histories written by hand: the records of a task's topics, at the offsets and times that a test gives them."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.eventlog.schema import to_table
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import TENSORS, ConsumedRecord, Event, Origin, Record, TopicId, format_rfc3339
from app.events.ids import prediction_id
from app.events.types import (
    Failure,
    FeaturesExtracted,
    FeedbackGiven,
    PredictionFailed,
    PredictionMade,
    PredictionRequested,
)
from models import tensors
from models.base import Task

START_SECONDS = datetime.fromisoformat("2026-01-01T00:00:00Z").timestamp()
SOURCE = "test"


@dataclass(frozen=True)
class RequestHistory:
    """A request and the events that follow it. Times are in seconds after `START_SECONDS`."""

    number: int
    payload: bytes = b"abc"
    output: dict[str, Any] = dataclasses.field(default_factory=lambda: {"sum": 294.0})
    confidence: float = 0.9
    version: str = "1"
    entity: str | None = None
    payload_hash: str | None = None

    @property
    def prediction_id(self) -> str:
        return prediction_id("letters", SOURCE, f"r{self.number}")

    @property
    def _key(self) -> bytes:
        return (self.entity or f"e{self.number}").encode()

    def request_record(self) -> Record:
        event = Event(
            f"r{self.number}",
            PredictionRequested.type,
            SOURCE,
            ce_time(self.number),
            self.payload,
            content_type="text/plain",
        )
        return Record("letters.requests", self._key, self.payload, event.to_headers())

    def features_record(self, task: Task, version: str = "1") -> Record:
        data, declaration = tensors.encode(task.preprocess(self.payload))
        extensions = {"requestid": f"r{self.number}", "requestsource": SOURCE, "tensors": declaration}
        extensions |= {"preprocessversion": version, "requestlogtime": "0", "preprocessms": "0"}
        extensions |= {} if self.payload_hash is None else {"payloadhash": self.payload_hash}
        event = Event(
            self.prediction_id,
            FeaturesExtracted.type,
            SOURCE,
            ce_time(self.number),
            data,
            content_type=TENSORS,
            extensions=extensions,
        )
        return Record("letters.features", self._key, data, event.to_headers())

    def prediction_record(self, **changes: Any) -> Record:
        prediction = PredictionMade(
            prediction_id=self.prediction_id,
            request_id=f"r{self.number}",
            task="letters",
            model=ModelRef(name="letters", version=self.version),
            role="champion",
            output=self.output,
            confidence=self.confidence,
            propensity=1.0,
            timings_ms={"total": 1.0},
        ).model_copy(update=changes)
        return self._answer_record(prediction)

    def failure_record(self) -> Record:
        error = Failure(stage="preprocess", code="bad", reason="bad")
        return self._answer_record(
            PredictionFailed(
                prediction_id=self.prediction_id,
                request_id=f"r{self.number}",
                task="letters",
                error=error,
                dead_letter="1",
            )
        )

    def _answer_record(self, answer: PredictionMade | PredictionFailed) -> Record:
        extensions = {"requestsource": SOURCE}
        topic = topics.predictions("letters")
        return answer.to_record(
            topic, self._key, id=self.prediction_id, source=SOURCE, time=ce_time(self.number), extensions=extensions
        )

    def feedback_record(self, number: int, after_seconds: float = 1.0, actor: str = "ada", **fields: Any) -> Record:
        """Return feedback on this request, its `number`-th, given `after_seconds` after it."""
        fields = fields or {"correction": {"sum": 1.0}}
        feedback = FeedbackGiven(prediction_id=self.prediction_id, actor=actor, **fields)
        id, time = f"f{self.number}-{number}", ce_time(self.number + after_seconds)
        return feedback.to_record("letters.feedback", self.prediction_id.encode(), id=id, source=SOURCE, time=time)


def ce_time(seconds: float) -> str:
    """Return a time as `ce_time`."""
    return format_rfc3339((START_SECONDS + seconds) * 1000)


def to_datetime(seconds: float) -> datetime:
    """Return a time as a datetime."""
    return datetime.fromisoformat(ce_time(seconds))


def append_to_log(
    records: Iterable[tuple[float, Record]], partitions: int = 2, epoch: str = "c/t"
) -> list[ConsumedRecord]:
    """Return the records as the log has them, each appended at its time to the partition of its key."""
    offsets: dict[tuple[str, int], int] = {}
    log = []
    for time, record in sorted(records, key=lambda timed: timed[0]):
        partition = (record.topic, sum(record.key or b"") % partitions)
        offsets[partition] = offsets.get(partition, -1) + 1
        origin = Origin(TopicId(epoch), *partition, offsets[partition], round((START_SECONDS + time) * 1000))
        log.append(ConsumedRecord(origin, record.key, record.value, record.headers))
    return log


def take_snapshots(
    log: Sequence[ConsumedRecord], names: Iterable[str], directory: Path, files: int = 1
) -> dict[str, Snapshot]:
    """Write snapshots of a log that is in Kafka only, each in `files` files."""
    snapshots = {}
    for name in names:
        records = [record for record in log if record.origin.topic == name]
        paths = []
        for index in range(files):
            paths.append(directory / f"{name}-{index}.parquet")
            pq.write_table(to_table(records[index::files], _put_blob), paths[-1])
        snapshots[name] = Snapshot(name, None, tuple(paths), {})
    return snapshots


def _put_blob(data: bytes) -> str:
    raise AssertionError("large payloads are not part of this history")
