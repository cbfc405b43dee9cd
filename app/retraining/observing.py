"""What versions did since a moment, as the catalog has it: what a rollout is decided upon."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, and_, func, select

from app.catalog.models import Failed, Outcome, Prediction
from app.events import OutcomeRecorded, PredictionMade, Role, shadow_id
from app.retraining.rollout import Arm, Observed
from app.retraining.scoring import score
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
    newest = select(Prediction.data).where(*made).order_by(Prediction.time.desc()).limit(MOST)
    said = [PredictionMade.model_validate_json(json.dumps(row.data)) for row in connection.execute(newest)]
    timings = [one.timings_ms for one in said]
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
    outcomes = select(Outcome.data).join(Prediction, Prediction.prediction_id == Outcome.prediction_id).where(*made)
    newest = [one for one in _newest(connection, outcomes) if stage == "total" or one.label is not None]
    return [found for one in newest if (found := _score(one)) is not None]


def _of_shadow(connection: Connection, task: Task, version: str, since: datetime) -> list[float]:
    """Scores of what a shadow said, by the labels that the served predictions of the same requests have."""
    outcomes = (
        select(Outcome.data)
        .join(Prediction, Prediction.prediction_id == Outcome.prediction_id)
        .where(Prediction.task == task.name, Prediction.time >= since)
    )
    labelled = {one.prediction_id: one for one in _newest(connection, outcomes) if one.label is not None}
    said = select(Prediction.prediction_id, Prediction.data).where(
        and_(Prediction.task == task.name, Prediction.version == version, Prediction.role == "shadow"),
        Prediction.time >= since,
    )
    outputs = {row.prediction_id: row.data["output"] for row in connection.execute(said)}
    return [
        score(task, outputs[unique], one.label)
        for one in labelled.values()
        if (unique := shadow_id(one.prediction_id, version)) in outputs and one.label is not None
    ]


def _newest(connection: Connection, outcomes: Any) -> list[OutcomeRecorded]:
    """Those whose prediction was to be looked at anyhow, in the order of their time."""
    newest = connection.execute(outcomes.order_by(Outcome.time.desc()).limit(MOST))
    said = [OutcomeRecorded.model_validate_json(json.dumps(row.data)) for row in newest]
    return [one for one in reversed(said) if one.selection_probability is not None]


def _score(outcome: OutcomeRecorded) -> float | None:
    """Its score; its reward, where the task is judged by that; 0 of what was said to be wrong and no more."""
    known = outcome.reward if outcome.score is None else outcome.score
    return 0.0 if known is None and outcome.accepted is False else known
