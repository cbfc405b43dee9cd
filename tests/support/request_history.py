"""Histories made by hand: the records of a task's topics, with the places in the log that a test gives them."""

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
    """A request and what becomes of it. Times in seconds after BEGIN."""

    number: int
    payload: bytes = b"abc"
    output: dict[str, Any] = dataclasses.field(default_factory=lambda: {"sum": 294.0})
    confidence: float = 0.9
    version: str = "1"
    entity: str | None = None

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
        said = {"requestid": f"r{self.number}", "requestsource": SOURCE, "tensors": declaration}
        said |= {"preprocessversion": version, "requestlogtime": "0", "preprocessms": "0"}
        event = Event(
            self.prediction_id,
            FeaturesExtracted.type,
            SOURCE,
            ce_time(self.number),
            data,
            content_type=TENSORS,
            extensions=said,
        )
        return Record("letters.features", self._key, data, event.to_headers())

    def prediction_record(self, **changes: Any) -> Record:
        made = PredictionMade(
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
        return self._answer_record(made)

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

    def _answer_record(self, said: PredictionMade | PredictionFailed) -> Record:
        extensions = {"requestsource": SOURCE}
        topic = topics.predictions("letters")
        return said.to_record(
            topic, self._key, id=self.prediction_id, source=SOURCE, time=ce_time(self.number), extensions=extensions
        )

    def feedback_record(self, number: int, after_seconds: float = 1.0, actor: str = "ada", **said: Any) -> Record:
        """Feedback, `number` of this request, `after` seconds."""
        said = said or {"correction": {"sum": 1.0}}
        given = FeedbackGiven(prediction_id=self.prediction_id, actor=actor, **said)
        unique, time = f"f{self.number}-{number}", ce_time(self.number + after_seconds)
        return given.to_record("letters.feedback", self.prediction_id.encode(), id=unique, source=SOURCE, time=time)


def ce_time(seconds: float) -> str:
    """A ce_time."""
    return format_rfc3339((START_SECONDS + seconds) * 1000)


def to_datetime(seconds: float) -> datetime:
    """The same, as a datetime."""
    return datetime.fromisoformat(ce_time(seconds))


def append_to_log(
    records: Iterable[tuple[float, Record]], partitions: int = 2, epoch: str = "c/t"
) -> list[ConsumedRecord]:
    """The records as the log has them, each appended at its time; the partition by its key."""
    ends: dict[tuple[str, int], int] = {}
    found = []
    for time, record in sorted(records, key=lambda one: one[0]):
        place = (record.topic, sum(record.key or b"") % partitions)
        ends[place] = ends.get(place, -1) + 1
        origin = Origin(TopicId(epoch), *place, ends[place], round((START_SECONDS + time) * 1000))
        found.append(ConsumedRecord(origin, record.key, record.value, record.headers))
    return found


def take_snapshots(
    log: Sequence[ConsumedRecord], names: Iterable[str], directory: Path, files: int = 1
) -> dict[str, Snapshot]:
    """Snapshots of a log that only Kafka has, in some files."""
    found = {}
    for name in names:
        of_topic = [record for record in log if record.origin.topic == name]
        paths = []
        for index in range(files):
            paths.append(directory / f"{name}-{index}.parquet")
            pq.write_table(to_table(of_topic[index::files], _put_blob), paths[-1])
        found[name] = Snapshot(name, None, tuple(paths), {})
    return found


def _put_blob(data: bytes) -> str:
    raise AssertionError("large payloads are not part of this history")
