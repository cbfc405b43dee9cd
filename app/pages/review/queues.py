"""What there is to be looked at: the random audit, and what the model is least sure of. Bounded questions.

A prediction that the audit has drawn is in the audit's queue alone: if the least certain of them were judged first, an
audit that is half done would say that the model is worse than it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, func, select

from app.catalog.orm import FeedbackRow, OutcomeRow, PredictionRow
from app.outcomes.label_aggregation import in_audit_sample
from app.settings import TaskSettings

Queue = Literal["audit", "uncertain"]
QUEUES: tuple[Queue, ...] = get_args(Queue)

MAX_AUDIT_CANDIDATES = 20_000
"""The audit is looked for in so many of a version's predictions, the newest."""
MAX_UNCERTAIN_CANDIDATES = 2_000
"""Of so many, the newest, the least certain are found."""
MAX_WAITING = 200
"""So many of a queue are found at once."""
MAX_REVIEWED = 50


def find_waiting(
    connection: Connection, queue: Queue, task: str, versions: Sequence[str], rules: TaskSettings, since: datetime
) -> list[str]:
    """The ids of the queue's predictions of these versions that nobody has said anything of, the first to do first."""
    rate = 0.0 if rules.full_feedback else rules.audit_rate
    if queue == "audit":
        made = [
            (row.time, row.prediction_id)
            for row in _newest_predictions(connection, task, versions, since, MAX_AUDIT_CANDIDATES)
        ]
        ids = [unique for _, unique in sorted(made) if in_audit_sample(unique, rate)]
    else:
        confidence = PredictionRow.data["confidence"].as_float()
        rows = _newest_predictions(
            connection, task, versions, since, MAX_UNCERTAIN_CANDIDATES, confidence.label("confidence")
        )
        sure = [(row.confidence, row.prediction_id) for row in rows if not in_audit_sample(row.prediction_id, rate)]
        ids = [unique for _, unique in sorted(sure)]
    found: list[str] = []
    for start in range(0, len(ids), MAX_WAITING):
        some = ids[start : start + MAX_WAITING]
        judged = find_with_feedback(connection, some)
        found += [unique for unique in some if unique not in judged]
        if len(found) >= MAX_WAITING:
            break
    return found[:MAX_WAITING]


def _newest_predictions(
    connection: Connection, task: str, versions: Sequence[str], since: datetime, limit: int, *columns: Any
) -> list[Any]:
    """Predictions that were served."""
    found: list[Any] = []
    for version in versions:
        of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
        newest = select(PredictionRow.prediction_id, PredictionRow.time, *columns).where(*of_version)
        found += connection.execute(
            newest.where(PredictionRow.role != "shadow").order_by(PredictionRow.time.desc()).limit(limit)
        )
    return found


def find_with_feedback(connection: Connection, prediction_ids: Collection[str]) -> set[str]:
    """Those of which something was said."""
    found = select(FeedbackRow.prediction_id).where(FeedbackRow.prediction_id.in_(prediction_ids))
    return set(connection.scalars(found))


@dataclass(frozen=True)
class ReviewedPrediction:
    """A prediction of which something was said, and by whom."""

    prediction_id: str
    time: datetime
    output: dict[str, Any]
    label: dict[str, Any] | None
    reward: float | None
    score: float | None
    contradicted: bool
    actors: tuple[str, ...]
    selection: str


def find_reviewed(
    connection: Connection, task: str, versions: Sequence[str], since: datetime
) -> list[ReviewedPrediction]:
    """The newest predictions of which something was said, contradicted ones first."""
    found: list[Any] = []
    for version in versions:
        of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
        newest = select(PredictionRow.prediction_id, PredictionRow.time).where(*of_version)
        some = newest.order_by(PredictionRow.time.desc()).limit(MAX_UNCERTAIN_CANDIDATES).subquery()
        outcomes = select(some.c.prediction_id, some.c.time, OutcomeRow.data).join(
            OutcomeRow, OutcomeRow.prediction_id == some.c.prediction_id
        )
        said = OutcomeRow.data["feedback"].as_integer() > 0
        found += connection.execute(outcomes.where(said).order_by(some.c.time.desc()).limit(MAX_REVIEWED)).all()
    return sorted(
        (_reviewed_prediction(row) for row in found), key=lambda one: (one.contradicted, one.time), reverse=True
    )[:MAX_REVIEWED]


def _reviewed_prediction(row: Any) -> ReviewedPrediction:
    said = row.data
    return ReviewedPrediction(
        prediction_id=row.prediction_id,
        time=row.time,
        output=said["output"],
        label=said.get("label"),
        reward=said.get("reward"),
        score=said.get("score"),
        contradicted=bool(said.get("contradicted")),
        actors=tuple(said.get("actors") or ()),
        selection=said["selection"],
    )


def count_predictions(
    connection: Connection, task: str, versions: Sequence[str], start: datetime, end: datetime
) -> int:
    """How many predictions there are between two moments."""
    made = (
        PredictionRow.task == task,
        PredictionRow.version.in_(versions),
        PredictionRow.time >= start,
        PredictionRow.time < end,
    )
    return connection.scalar(select(func.count()).where(*made)) or 0
