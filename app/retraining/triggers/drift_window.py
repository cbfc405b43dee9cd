"""Drift of a champion, from the catalog: what is usual for it, and what its newest predictions and labels are like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select

from app.catalog.catalog import read_row
from app.catalog.orm import Prediction
from app.events.types import OutcomeRecorded, PredictionMade
from app.monitoring.drift import FEWEST, LENGTHS, LONGEST, Finding, Samples, Scan
from app.monitoring.drift_features import aligned, said, samples, watched
from models.base import Task

REFERENCE = "reference"
"""The part of a card that has a reference: by feature, a sample of its values."""

_DETECTOR = Scan()


def of_card(card: Mapping[str, Any]) -> Samples | None:
    """What is usual by a version's card; None of one that doesn't say so, or says something else by that name."""
    said = card.get(REFERENCE)
    if not isinstance(said, dict) or not said:
        return None
    try:
        found = {str(name): np.array(values, np.float64) for name, values in said.items()}
    except (TypeError, ValueError):
        return None
    return found if all(one.ndim == 1 and np.isfinite(one).all() for one in found.values()) else None


def of_predictions(connection: Connection, task: Task, within: Sequence[Any]) -> Samples:
    """Of the newest predictions among these, in the order of their time."""
    newest: Select[Any] = select(Prediction.type, Prediction.data).where(*within)
    rows = connection.execute(newest.order_by(Prediction.time.desc()).limit(LONGEST)).all()
    made = [read_row(row, PredictionMade) for row in reversed(rows)]
    return samples(watched(task, one.output, one.confidence, one.inputs or {}) for one in made)


def of_labels(task: Task, outcomes: Sequence[OutcomeRecorded]) -> Samples:
    """Of labels that were to be given anyhow: those of volunteers are mostly of mistakes."""
    asked = [one for one in outcomes if one.label is not None and one.selection_probability is not None]
    return samples(said(task, one.label or {}, "labels") for one in asked[-LONGEST:])


def findings(reference: Samples, window: Samples) -> Sequence[Finding]:
    """What the detector finds; nothing of a window with too few events."""
    enough = {name: values for name, values in window.items() if len(values) >= FEWEST}
    return _DETECTOR.findings(*aligned(reference, enough))


def stale(known: int, count: int) -> bool:
    """Whether so many predictions more are worth another look."""
    return count - known >= int(LENGTHS[0])
