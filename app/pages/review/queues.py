"""The review queues, by bounded queries: the random audit, and the predictions with the lowest confidence.

A prediction in the audit sample is only in the audit's queue, and stays there until it is answered there, whatever
volunteers do. If its least certain predictions were reviewed first, or those that volunteers corrected were left out,
an unfinished audit would misjudge the model.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, func, select

from app.catalog.orm import FeedbackRow, OutcomeRow, PredictionRow, RetractionRow
from app.events.types import ReviewQueue
from app.outcomes.label_aggregation import draw_selection
from app.settings import TaskSettings

QUEUES: tuple[ReviewQueue, ...] = get_args(ReviewQueue)

MAX_AUDIT_CANDIDATES = 20_000
"""The audit sample is taken from this many of a version's newest predictions."""
MAX_UNCERTAIN_CANDIDATES = 2_000
"""The least certain predictions are taken from this many of a version's newest ones."""
MAX_WAITING = 200
"""Maximum length of a queue."""
MAX_REVIEWED = 50


def find_waiting(
    connection: Connection, queue: ReviewQueue, task: str, versions: Sequence[str], rules: TaskSettings, since: datetime
) -> list[str]:
    """Return the ids of the queue's unanswered predictions of these versions, in the order of review.

    In the audit's queue only its own feedback is an answer, except for predictions that older releases recorded.
    """

    def is_audited(prediction_id: str) -> bool:
        return draw_selection(rules, prediction_id)[0] == "audit"

    if queue == "audit":
        rows = _newest_predictions(connection, task, versions, since, MAX_AUDIT_CANDIDATES)
        by_time = sorted((row.time, row.prediction_id) for row in rows)
        ids = [prediction_id for _, prediction_id in by_time if is_audited(prediction_id)]
    else:
        confidence = PredictionRow.data["confidence"].as_float()
        rows = _newest_predictions(
            connection, task, versions, since, MAX_UNCERTAIN_CANDIDATES, confidence.label("confidence")
        )
        by_confidence = sorted((row.confidence, row.prediction_id) for row in rows)
        ids = [prediction_id for _, prediction_id in by_confidence if not is_audited(prediction_id)]
    waiting: list[str] = []
    for start in range(0, len(ids), MAX_WAITING):
        batch = ids[start : start + MAX_WAITING]
        answered = find_with_feedback(connection, batch, *(_ASKED_BY_AUDIT if queue == "audit" else ()))
        waiting += [prediction_id for prediction_id in batch if prediction_id not in answered]
        if len(waiting) >= MAX_WAITING:
            break
    return waiting[:MAX_WAITING]


def _newest_predictions(
    connection: Connection, task: str, versions: Sequence[str], since: datetime, limit: int, *columns: Any
) -> list[Any]:
    """Return the newest served predictions of each version."""
    rows: list[Any] = []
    for version in versions:
        of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
        predictions = select(PredictionRow.prediction_id, PredictionRow.time, *columns).where(*of_version)
        rows += connection.execute(
            predictions.where(PredictionRow.role != "shadow").order_by(PredictionRow.time.desc()).limit(limit)
        )
    return rows


_ASKED_BY_AUDIT = (
    (FeedbackRow.data["queue"].as_string() == "audit") | OutcomeRow.data["audit_answered"].as_boolean().is_(None),
)


def find_with_feedback(connection: Connection, prediction_ids: Collection[str], *conditions: Any) -> set[str]:
    """Return those of the predictions that have feedback which is not retracted and meets the conditions."""
    retractions = select(RetractionRow.key).where(  # the rule is that of `FeedbackRetracted.names`
        RetractionRow.prediction_id == FeedbackRow.prediction_id,
        RetractionRow.actor == FeedbackRow.actor,
        RetractionRow.retracts == FeedbackRow.id,
        func.coalesce(RetractionRow.retracts_source, FeedbackRow.source) == FeedbackRow.source,
    )
    of_predictions = (
        select(FeedbackRow.prediction_id)
        .outerjoin(OutcomeRow, OutcomeRow.prediction_id == FeedbackRow.prediction_id)
        .where(FeedbackRow.prediction_id.in_(prediction_ids), *conditions)
    )
    return set(connection.scalars(of_predictions.where(~retractions.exists())))


@dataclass(frozen=True)
class ReviewedPrediction:
    """A prediction with the outcome of its feedback."""

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
    """Return the newest predictions with feedback, contradictory feedback first."""
    rows: list[Any] = []
    for version in versions:
        of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
        predictions = select(PredictionRow.prediction_id, PredictionRow.time).where(*of_version)
        newest = predictions.order_by(PredictionRow.time.desc()).limit(MAX_UNCERTAIN_CANDIDATES).subquery()
        outcomes = select(newest.c.prediction_id, newest.c.time, OutcomeRow.data).join(
            OutcomeRow, OutcomeRow.prediction_id == newest.c.prediction_id
        )
        has_feedback = OutcomeRow.data["feedback"].as_integer() > 0
        rows += connection.execute(
            outcomes.where(has_feedback).order_by(newest.c.time.desc()).limit(MAX_REVIEWED)
        ).all()
    reviewed = [_reviewed_prediction(row) for row in rows]
    reviewed.sort(key=lambda prediction: (prediction.contradicted, prediction.time), reverse=True)
    return reviewed[:MAX_REVIEWED]


def _reviewed_prediction(row: Any) -> ReviewedPrediction:
    outcome = row.data
    return ReviewedPrediction(
        prediction_id=row.prediction_id,
        time=row.time,
        output=outcome["output"],
        label=outcome.get("label"),
        reward=outcome.get("reward"),
        score=outcome.get("score"),
        contradicted=bool(outcome.get("contradicted")),
        actors=tuple(outcome.get("actors") or ()),
        selection=outcome["selection"],
    )
