"""The catalog's tables: read models, each row a pure function of the records in the log.

The class decides which of several records makes a row: the first (`FirstWinsRow`) or the last (`LastWinsRow`) in the
log. Rows are therefore the same for every order and number of deliveries. `data` is the event's data as in the log, in
the version that `type` names; the other columns are for queries.
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
    """A row made by one record, with the record's position. `logged` is its log append time.

    `order` names the columns that order two records.
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
    """A row made by the first record with its key."""

    __abstract__ = True


class LastWinsRow(LoggedRow):
    """A row made by the last record with its key."""

    __abstract__ = True


class PredictionRow(FirstWinsRow):
    """A prediction, served or by a shadow. `time` is its `ce_time`.

    `waiting` marks a served prediction of a model whose outcome has no reward: there are few, and a partial index finds
    them.
    `key_digest` is the same for the requests of one key, and null without a key.
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
    key_digest: Mapped[str | None]
    time: Mapped[datetime]
    waiting: Mapped[bool]
    data: Mapped[dict[str, Any]]


class FailureRow(FirstWinsRow):
    """A prediction that a version failed to make. `time` is its `ce_time`."""

    __tablename__ = "failures"
    __table_args__ = (Index("failures_of_version", "task", "version", "time"),)
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    role: Mapped[str]
    version: Mapped[str]
    time: Mapped[datetime]


class FeedbackRow(FirstWinsRow):
    """Feedback on a prediction. `key` is derived from the event's identity, `source` and `id`."""

    __tablename__ = "feedback"
    key: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    id: Mapped[str] = mapped_column(index=True)
    prediction_id: Mapped[str] = mapped_column(index=True)
    task: Mapped[str]
    actor: Mapped[str] = mapped_column(index=True)
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class RetractionRow(FirstWinsRow):
    """A retraction of feedback. `key` is derived from the event's identity; `retracts` is the id of the feedback."""

    __tablename__ = "retractions"
    key: Mapped[str] = mapped_column(primary_key=True)
    prediction_id: Mapped[str] = mapped_column(index=True)
    actor: Mapped[str]
    retracts: Mapped[str]
    retracts_source: Mapped[str | None]
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class OutcomeRow(LastWinsRow):
    """The current outcome of a prediction: the one with the latest `time`, which knows the most feedback."""

    order = ("time", *LOG_POSITION)
    __tablename__ = "outcomes"
    __table_args__ = (Index("outcomes_of_task", "task", "time"),)
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    version: Mapped[str]
    score: Mapped[float | None]
    reward: Mapped[float | None]
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class ModelRow(LastWinsRow):
    """A model with its newest version."""

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
    """A trained version, registered or not."""

    __tablename__ = "candidates"
    task: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    data: Mapped[dict[str, Any]]


class EvaluationRow(FirstWinsRow):
    """An evaluation of a version. `key` is derived from the event's identity."""

    __tablename__ = "evaluations"
    key: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]
    run_id: Mapped[str]
    passed: Mapped[bool]
    data: Mapped[dict[str, Any]]


class RouteChangeRow(FirstWinsRow):
    """A change of a task's route. `key` is derived from the event's identity.

    Of several changes with the same `data.follows` the first in the log is in force, see `app.registry`.
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
    """A retraining run, with the log time at which it first reached each state.

    `trigger` is null until the record that names it has arrived.
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
        """Return the furthest state that the run has reached."""
        return next(state for state in reversed(RUN_STATES) if getattr(self, state) is not None)


RUN_STATES = ("triggered", "built", "trained", "refused", "passed", "registered", "routed")
"""The states of a run, from the first to the furthest."""


class DeadLetterRow(FirstWinsRow):
    """A rejected record with the reason; its payload is in the log only."""

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
