"""What versions did since a moment, as the catalog has it: what a rollout is decided upon."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, func, select

from app.catalog.catalog import read_row
from app.catalog.orm import Failed, Outcome, Prediction
from app.evaluation.scoring import known_score, score
from app.events.ids import shadow_id
from app.events.types import OutcomeRecorded, PredictionMade, Role
from app.retraining.rollout.policy import Arm, Observed
from models.base import Task

Stage = Literal["inference", "total"]

MOST = 5_000
"""So many predictions and outcomes of each are looked at: the newest."""


def observed(
    connection: Connection, task: Task, candidate: tuple[str, Role], champion: str, since: datetime, now: datetime
) -> Observed:
    """Candidate, in its role, and champion side by side, since a moment.

    Latency is that of the whole way. A shadow begins when the answer is out: beside one it is that of the model's call.
    """
    stage: Stage = "inference" if candidate[1] == "shadow" else "total"
    return Observed(
        _arm(connection, task, *candidate, since, stage),
        _arm(connection, task, champion, "champion", since, stage),
        (now - since).total_seconds() / 60,
    )


def _arm(connection: Connection, task: Task, version: str, role: Role, since: datetime, stage: Stage) -> Arm:
    of_version = (Prediction.task == task.name, Prediction.version == version, Prediction.role == role)
    made = (*of_version, Prediction.time >= since)
    predicted = connection.scalar(select(func.count()).where(*made)) or 0
    newest = select(Prediction.type, Prediction.data).where(*made).order_by(Prediction.time.desc()).limit(MOST)
    timings = [read_row(row, PredictionMade).timings_ms for row in connection.execute(newest)]
    failed = (Failed.task == task.name, Failed.version == version, Failed.role == role, Failed.time >= since)
    errors = connection.scalar(select(func.count()).where(*failed)) or 0
    scores = _of_shadow(connection, task, version, since) if role == "shadow" else _served(connection, made, stage)
    return Arm(
        answers=predicted + errors,
        errors=errors,
        scores=np.array(scores, np.float64),
        latencies_ms=np.array([one[stage] for one in reversed(timings)], np.float64),
    )


def _served(connection: Connection, made: Sequence[Any], stage: Stage) -> list[float]:
    """Scores of what was served; beside a shadow by labels alone: without one, nobody knows what that is worth."""
    newest = [one for one in _newest(connection, made) if stage == "total" or one.label is not None]
    return [found for one in newest if (found := known_score(one)) is not None]


def _of_shadow(connection: Connection, task: Task, version: str, since: datetime) -> list[float]:
    """Scores of what a shadow said, by the labels that the served predictions of the same requests have."""
    within = (Prediction.task == task.name, Prediction.time >= since)
    made = (Prediction.version == version, Prediction.role == "shadow")
    said = connection.execute(select(Prediction.type, Prediction.data).where(*within, *made))
    outputs = {one.prediction_id: one.output for one in (read_row(row, PredictionMade) for row in said)}
    return [
        score(task, outputs[unique], one.label)
        for one in _newest(connection, within)
        if one.label is not None and (unique := shadow_id(one.prediction_id, version)) in outputs
    ]


def _newest(connection: Connection, predicted: Sequence[Any]) -> list[OutcomeRecorded]:
    """Outcomes of such predictions, if they were to be looked at anyhow, in the order of their time."""
    outcomes = select(Outcome.type, Outcome.data).join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
    selected = Outcome.data["selection_probability"].as_float().is_not(None)
    newest = connection.execute(outcomes.where(*predicted, selected).order_by(Outcome.time.desc()).limit(MOST)).all()
    return [read_row(row, OutcomeRecorded) for row in reversed(newest)]
