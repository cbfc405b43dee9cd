"""What versions did since a moment, as the catalog has it: what a rollout is decided upon."""

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
from app.retraining.rollout.policy import Arm, RolloutEvidence
from models.base import Task

LatencyStage = Literal["inference", "total"]

MAX_ROWS = 5_000
"""So many predictions and outcomes of each are looked at: the newest."""


def gather_rollout_evidence(
    connection: Connection, task: Task, candidate: tuple[str, Role], champion: str, since: datetime, now: datetime
) -> RolloutEvidence:
    """Candidate, in its role, and champion side by side, since a moment.

    Latency is that of the whole way. A shadow begins when the answer is out: beside one it is that of the model's call.
    """
    stage: LatencyStage = "inference" if candidate[1] == "shadow" else "total"
    return RolloutEvidence(
        _arm(connection, task, *candidate, since, stage),
        _arm(connection, task, champion, "champion", since, stage),
        (now - since).total_seconds() / 60,
    )


def _arm(connection: Connection, task: Task, version: str, role: Role, since: datetime, stage: LatencyStage) -> Arm:
    of_version = (PredictionRow.task == task.name, PredictionRow.version == version, PredictionRow.role == role)
    made = (*of_version, PredictionRow.time >= since)
    predicted = connection.scalar(select(func.count()).where(*made)) or 0
    newest = (
        select(PredictionRow.type, PredictionRow.data).where(*made).order_by(PredictionRow.time.desc()).limit(MAX_ROWS)
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
        else _served_scores(connection, made, stage)
    )
    return Arm(
        answers=predicted + errors,
        errors=errors,
        scores=np.array(scores, np.float64),
        latencies_ms=np.array([one[stage] for one in reversed(timings)], np.float64),
    )


def _served_scores(connection: Connection, made: Sequence[Any], stage: LatencyStage) -> list[float]:
    """Scores of what was served; beside a shadow by labels alone: without one, nobody knows what that is worth."""
    newest = [one for one in _newest_outcomes(connection, made) if stage == "total" or one.label is not None]
    return [found for one in newest if (found := outcome_score(one)) is not None]


def _shadow_scores(connection: Connection, task: Task, version: str, since: datetime) -> list[float]:
    """Scores of what a shadow said, by the labels that the served predictions of the same requests have."""
    within = (PredictionRow.task == task.name, PredictionRow.time >= since)
    made = (PredictionRow.version == version, PredictionRow.role == "shadow")
    said = connection.execute(select(PredictionRow.type, PredictionRow.data).where(*within, *made))
    outputs = {one.prediction_id: one.output for one in (decode_row(row, PredictionMade) for row in said)}
    return [
        score(task, outputs[unique], one.label)
        for one in _newest_outcomes(connection, within)
        if one.label is not None and (unique := shadow_id(one.prediction_id, version)) in outputs
    ]


def _newest_outcomes(connection: Connection, predicted: Sequence[Any]) -> list[OutcomeRecorded]:
    """Outcomes of such predictions, if they were to be looked at anyhow, in the order of their time."""
    outcomes = select(OutcomeRow.type, OutcomeRow.data).join(
        PredictionRow, PredictionRow.prediction_id == OutcomeRow.prediction_id
    )
    selected = OutcomeRow.data["selection_probability"].as_float().is_not(None)
    newest = connection.execute(
        outcomes.where(*predicted, selected).order_by(OutcomeRow.time.desc()).limit(MAX_ROWS)
    ).all()
    return [decode_row(row, OutcomeRecorded) for row in reversed(newest)]
