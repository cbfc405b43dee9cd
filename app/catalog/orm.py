"""The catalog's tables: read models, each row a pure function of the records in the log.

Which of several records makes a row is said by the class: the `First` or the `Last` of them in the log. So rows come
out the same whatever the order and the number of deliveries. `data` is the event's own, as it is in the log, in the
version that `type` names; the columns beside it are what is asked for.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.catalog.column_types import ByteOrderedText, UtcDateTime


class Base(DeclarativeBase):
    """A read model."""

    type_annotation_map = {str: ByteOrderedText(), datetime: UtcDateTime(), int: BigInteger(), dict[str, Any]: JSON()}  # noqa: RUF012


LOG_POSITION = ("logged", "partition", "offset", "topic", "epoch")


class LoggedRow(Base):
    """A row that one record in the log makes, and where that record is. `logged` is its log append time.

    `order` names the columns by which one of two records is before the other.
    """

    __abstract__ = True
    order: ClassVar[tuple[str, ...]] = LOG_POSITION
    type: Mapped[str]
    logged: Mapped[datetime]
    partition: Mapped[int]
    offset: Mapped[int]
    topic: Mapped[str]
    epoch: Mapped[str]


class FirstWinsRow(LoggedRow):
    """Of the records for one key, the first makes the row."""

    __abstract__ = True


class LastWinsRow(LoggedRow):
    """Of the records for one key, the last makes the row."""

    __abstract__ = True


class PredictionRow(FirstWinsRow):
    """A prediction, served or a shadow's. `time` is its `ce_time`.

    `waiting` is whether it was served, and its outcome has no reward: few are, and an index finds them.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        Index(
            "predictions_waiting", "task", "time", sqlite_where=text("waiting = 1"), postgresql_where=text("waiting")
        ),
        Index("predictions_of_version", "task", "version", "time"),
    )
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    role: Mapped[str]
    version: Mapped[str]
    request_source: Mapped[str]
    subject: Mapped[str | None]
    time: Mapped[datetime]
    waiting: Mapped[bool]
    data: Mapped[dict[str, Any]]


class FailureRow(FirstWinsRow):
    """What a version was asked for, and failed to predict. `time` is its `ce_time`."""

    __tablename__ = "failures"
    __table_args__ = (Index("failures_of_version", "task", "version", "time"),)
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    role: Mapped[str]
    version: Mapped[str]
    time: Mapped[datetime]


class FeedbackRow(FirstWinsRow):
    """What was said of a prediction. `key` is made of the event's identity, `source` and `id`."""

    __tablename__ = "feedback"
    key: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    id: Mapped[str]
    prediction_id: Mapped[str] = mapped_column(index=True)
    task: Mapped[str]
    actor: Mapped[str] = mapped_column(index=True)
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class OutcomeRow(LastWinsRow):
    """What is known of a prediction now: of several outcomes the one that knows what had come by the latest `time`."""

    order = ("time", *LOG_POSITION)
    __tablename__ = "outcomes"
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    version: Mapped[str]
    score: Mapped[float | None]
    reward: Mapped[float | None]
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class ModelRow(LastWinsRow):
    """A model, and its newest version."""

    __tablename__ = "models"
    task: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    run_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class VersionRow(FirstWinsRow):
    """A version in the registry."""

    __tablename__ = "versions"
    task: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class CandidateRow(LastWinsRow):
    """A version that was trained, whether or not it came into the registry."""

    __tablename__ = "candidates"
    task: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    data: Mapped[dict[str, Any]]


class EvaluationRow(FirstWinsRow):
    """One judgement of a version. `key` is made of the event's identity."""

    __tablename__ = "evaluations"
    key: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]
    run_id: Mapped[str]
    passed: Mapped[bool]
    data: Mapped[dict[str, Any]]


class RouteChangeRow(FirstWinsRow):
    """What was to serve a task from then on. `key` is made of the event's identity.

    Of several with one `data.follows` the first in the log is in force, see `app.registry`.
    """

    __tablename__ = "route_changes"
    key: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(index=True)
    action: Mapped[str]
    champion: Mapped[str]
    canary: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class DatasetRow(FirstWinsRow):
    """A dataset that was replayed from the log."""

    __tablename__ = "datasets"
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    location: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    run_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class RunRow(Base):
    """A retraining run, and when in the log it first came to each state: of several records the earliest counts.

    `trigger` is null while the record that says it has not come.
    """

    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    trigger: Mapped[str | None]
    triggered: Mapped[datetime | None]
    built: Mapped[datetime | None]
    trained: Mapped[datetime | None]
    refused: Mapped[datetime | None]
    passed: Mapped[datetime | None]
    registered: Mapped[datetime | None]
    routed: Mapped[datetime | None]

    @property
    def state(self) -> str:
        """The furthest state it came to."""
        return next(state for state in reversed(RUN_STATES) if getattr(self, state) is not None)


RUN_STATES = ("triggered", "built", "trained", "refused", "passed", "registered", "routed")
"""The states of a run, each further than those before it."""


class DeadLetterRow(FirstWinsRow):
    """An event that could not be processed, and why; its payload is in the log only."""

    __tablename__ = "dead_letters"
    rejected_id: Mapped[str] = mapped_column(primary_key=True)
    stage: Mapped[str]
    code: Mapped[str]
    reason: Mapped[str]
    source_topic: Mapped[str]
    source_partition: Mapped[int]
    source_offset: Mapped[int]
    event_source: Mapped[str]
    event_id: Mapped[str]
