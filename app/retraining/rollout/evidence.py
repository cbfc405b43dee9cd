"""The evidence of a rollout, from the catalog: the results of both versions since a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.catalog import decode_row
from app.catalog.orm import FailureRow, OutcomeRow, PredictionRow
from app.evaluation.scoring import outcome_score, score
from app.events.ids import shadow_id
from app.events.types import OutcomeRecorded, PredictionMade, Role
from app.retraining.rollout.policy import REWARD_RANGE, Arm, RolloutEvidence
from models.base import Task

LatencyStage = Literal["inference", "total"]

MAX_ROWS = 5_000
"""Maximum number of predictions and of outcomes of each version; the newest are used."""


def gather_rollout_evidence(
    connection: Connection, task: Task, candidate: tuple[str, Role], champion: str, since: datetime, now: datetime
) -> RolloutEvidence:
    """Return the results of the candidate, in its role, and of the champion since a time.

    Latency is the total latency. A shadow starts after the answer, so beside a shadow it is the model call's latency.
    """
    stage: LatencyStage = "inference" if candidate[1] == "shadow" else "total"
    return RolloutEvidence(
        _arm(connection, task, *candidate, since, stage),
        _arm(connection, task, champion, "champion", since, stage),
        (now - since).total_seconds() / 60,
        task.score_range if stage == "inference" or not _any_rewards(connection, task, since) else REWARD_RANGE,
    )


def _any_rewards(connection: Connection, task: Task, since: datetime) -> bool:
    """Return whether an outcome has a reward instead of a score."""
    rewarded = (OutcomeRow.task == task.name, OutcomeRow.time >= since, OutcomeRow.score.is_(None))
    return (
        connection.scalar(select(OutcomeRow.prediction_id).where(*rewarded, OutcomeRow.reward.is_not(None)).limit(1))
        is not None
    )


def _arm(connection: Connection, task: Task, version: str, role: Role, since: datetime, stage: LatencyStage) -> Arm:
    of_version = (PredictionRow.task == task.name, PredictionRow.version == version, PredictionRow.role == role)
    recent = (*of_version, PredictionRow.time >= since)
    predicted = connection.scalar(select(func.count()).where(*recent)) or 0
    newest = (
        select(PredictionRow.type, PredictionRow.data)
        .where(*recent)
        .order_by(PredictionRow.time.desc())
        .limit(MAX_ROWS)
    )
    timings = [decode_row(row, PredictionMade).timings_ms for row in connection.execute(newest)]
    failed = (
        FailureRow.task == task.name,
        FailureRow.version == version,
        FailureRow.role == role,
        FailureRow.time >= since,
    )
    errors = connection.scalar(select(func.count()).where(*failed)) or 0
    scores = (
        _shadow_scores(connection, task, version, since)
        if role == "shadow"
        else _served_scores(connection, recent, stage)
    )
    return Arm(
        answers=predicted + errors,
        errors=errors,
        scores=np.array(scores, np.float64),
        latencies_ms=np.array([timing[stage] for timing in reversed(timings)], np.float64),
    )


def _served_scores(connection: Connection, predictions: Sequence[Any], stage: LatencyStage) -> list[float]:
    """Return the scores of served predictions. Beside a shadow only labels count, because a shadow gets no reward."""
    newest = _newest_outcomes(connection, predictions)
    scored = [outcome for outcome in newest if stage == "total" or outcome.label is not None]
    return [value for outcome in scored if (value := outcome_score(outcome)) is not None]


def _shadow_scores(connection: Connection, task: Task, version: str, since: datetime) -> list[float]:
    """Return the scores of a shadow's outputs by the labels of the served predictions for the same requests."""
    within = (PredictionRow.task == task.name, PredictionRow.time >= since)
    shadow = (PredictionRow.version == version, PredictionRow.role == "shadow")
    rows = connection.execute(select(PredictionRow.type, PredictionRow.data).where(*within, *shadow))
    predictions = [decode_row(row, PredictionMade) for row in rows]
    outputs = {prediction.prediction_id: prediction.output for prediction in predictions}
    return [
        score(task, outputs[prediction_id], outcome.label)
        for outcome in _newest_outcomes(connection, within)
        if outcome.label is not None and (prediction_id := shadow_id(outcome.prediction_id, version)) in outputs
    ]


def _newest_outcomes(connection: Connection, predictions: Sequence[Any]) -> list[OutcomeRecorded]:
    """Return the outcomes of these predictions that have a known selection probability, in order of time."""
    outcomes = select(OutcomeRow.type, OutcomeRow.data).join(
        PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id
    )
    selected = OutcomeRow.data["selection_probability"].as_float().is_not(None)
    newest = connection.execute(
        outcomes.where(*predictions, selected).order_by(OutcomeRow.time.desc()).limit(MAX_ROWS)
    ).all()
    return [decode_row(row, OutcomeRecorded) for row in reversed(newest)]
