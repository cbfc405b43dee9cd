"""Drift of a champion: the reference in its card, and samples of its newest predictions and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    DriftBaseline,
    DriftDetector,
    DriftFinding,
    Samples,
    ScanDetector,
)
from app.monitoring.drift_features import add_classes, collect_samples, output_features, prediction_features
from app.monitoring.drift_joint import JointDetector
from app.registry.cards import DRIFT_REFERENCE
from models.base import Task

_DETECTORS: Sequence[DriftDetector] = (ScanDetector(), JointDetector())


def read_reference(card: Mapping[str, Any]) -> Samples | None:
    """Return the reference in a version's card; None if there is none, or it is malformed."""
    reference = card.get(DRIFT_REFERENCE)
    if not isinstance(reference, dict) or not reference:
        return None
    try:
        samples = {str(name): np.array(values, np.float64) for name, values in reference.items()}
    except (TypeError, ValueError):
        return None
    is_valid = all(values.ndim == 1 and np.isfinite(values).all() for values in samples.values())
    return samples if is_valid else None


def prediction_samples(connection: Connection, task: Task, within: Sequence[Any]) -> Samples:
    """Return samples of the newest of these predictions, in order of time."""
    newest: Select[Any] = select(PredictionRow.type, PredictionRow.data).where(*within)
    rows = connection.execute(newest.order_by(PredictionRow.time.desc()).limit(MAX_WINDOW_EVENTS)).all()
    predictions = [decode_row(row, PredictionMade).of_model() for row in reversed(rows)]
    return collect_samples(
        prediction_features(task, prediction.output, prediction.confidence, prediction.inputs or {})
        for prediction in predictions
    )


def label_samples(task: Task, outcomes: Sequence[OutcomeRecorded]) -> Samples:
    """Return samples of the labels from the audit. Volunteers label mostly mistakes."""
    labels = [
        outcome.label for outcome in outcomes if outcome.label is not None and outcome.selection_probability is not None
    ]
    return collect_samples(output_features(task, label, "labels") for label in labels[-MAX_WINDOW_EVENTS:])


def detect_drift(baseline: DriftBaseline, window: Samples) -> Sequence[DriftFinding]:
    """Return the findings of the detectors; none for a window with too few events."""
    large = {name: values for name, values in window.items() if len(values) >= MIN_REFERENCE_VALUES}
    reference = add_classes(baseline.reference, large)
    past = [add_classes(stretch, reference) for stretch in baseline.past]
    aligned = replace(baseline, reference=reference, past=past)
    return [finding for detector in _DETECTORS for finding in detector.detect(aligned, add_classes(large, reference))]


def is_stale(previous_count: int, count: int) -> bool:
    """Return whether enough predictions were added to read the samples again."""
    return count - previous_count >= int(SCAN_LENGTHS[0])
