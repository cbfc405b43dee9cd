"""Drift of a champion, from the catalog: what is usual for it, and what its newest predictions and labels are like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select

from app.catalog.catalog import decode_row
from app.catalog.orm import PredictionRow
from app.events.types import OutcomeRecorded, PredictionMade
from app.monitoring.drift import (
    MAX_WINDOW_EVENTS,
    MIN_REFERENCE_VALUES,
    SCAN_LENGTHS,
    DriftFinding,
    Samples,
    ScanDetector,
)
from app.monitoring.drift_features import align_classes, collect_samples, output_features, prediction_features
from models.base import Task

REFERENCE_KEY = "reference"
"""The part of a card that has a reference: by feature, a sample of its values."""

_DETECTOR = ScanDetector()


def read_reference(card: Mapping[str, Any]) -> Samples | None:
    """What is usual by a version's card; None of one that doesn't say so, or says something else by that name."""
    said = card.get(REFERENCE_KEY)
    if not isinstance(said, dict) or not said:
        return None
    try:
        found = {str(name): np.array(values, np.float64) for name, values in said.items()}
    except (TypeError, ValueError):
        return None
    return found if all(one.ndim == 1 and np.isfinite(one).all() for one in found.values()) else None


def prediction_samples(connection: Connection, task: Task, within: Sequence[Any]) -> Samples:
    """Of the newest predictions among these, in the order of their time."""
    newest: Select[Any] = select(PredictionRow.type, PredictionRow.data).where(*within)
    rows = connection.execute(newest.order_by(PredictionRow.time.desc()).limit(MAX_WINDOW_EVENTS)).all()
    made = [decode_row(row, PredictionMade) for row in reversed(rows)]
    return collect_samples(prediction_features(task, one.output, one.confidence, one.inputs or {}) for one in made)


def label_samples(task: Task, outcomes: Sequence[OutcomeRecorded]) -> Samples:
    """Of labels that were to be given anyhow: those of volunteers are mostly of mistakes."""
    asked = [one for one in outcomes if one.label is not None and one.selection_probability is not None]
    return collect_samples(output_features(task, one.label or {}, "labels") for one in asked[-MAX_WINDOW_EVENTS:])


def detect_drift(reference: Samples, window: Samples) -> Sequence[DriftFinding]:
    """What the detector finds; nothing of a window with too few events."""
    enough = {name: values for name, values in window.items() if len(values) >= MIN_REFERENCE_VALUES}
    return _DETECTOR.detect(*align_classes(reference, enough))


def is_stale(previous_count: int, count: int) -> bool:
    """Whether so many predictions more are worth another look."""
    return count - previous_count >= int(SCAN_LENGTHS[0])
