"""The drift reference in a card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.monitoring.drift import MAX_WINDOW_EVENTS, MIN_REFERENCE_VALUES
from app.registry.cards import DRIFT_REFERENCE
from app.registry.registration import MAX_CARD_BYTES
from app.retraining.pipeline.drift_reference import MAX_NUMBERS, build_reference
from app.retraining.triggers.drift_window import detect_drift, read_reference
from models.base import Features
from tests.support.datasets import scale_row, write_dataset
from tests.support.scales import Scales, make_scale_model


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version whose output is the reading."""
    (tmp_path / "model.onnx").write_bytes(make_scale_model(0.0))
    return tmp_path / "model.onnx"


class ManyFeatureScales(Scales):
    """Scales with so many features that 1,000 events of them do not fit into a card."""

    def summary(self, features: Features) -> dict[str, float]:
        return {f"number{place}": float(features["reading"][0]) / 3 for place in range(99)}


def make_reading(number: float) -> NDArray[Any]:
    return np.array([number, 0.0], np.float32)


def test_the_reference_has_the_newest_rows_outside_the_training_split(version: Path, tmp_path: Path) -> None:
    splits = {0: "train", 1: "validation", 2: "test"}
    rows = [scale_row(n, reading=make_reading(n), split=splits[n % 3]) for n in range(3000)]
    reference = build_reference(Scales(), version, write_dataset(tmp_path, rows))
    shown = [float(f"{n / 2:.6g}") for n in range(3000) if n % 3][-MAX_WINDOW_EVENTS:]
    assert reference["inputs.reading.mean"] == shown
    assert reference["outputs.confidence"] == [1.0] * MAX_WINDOW_EVENTS


def test_reference_labels_come_from_the_audit_sample(version: Path, tmp_path: Path) -> None:
    label = json.dumps({"weight": 7.0})
    rows = [
        scale_row(n, label=label, selection_probability=0.5 if n % 2 else None) for n in range(4 * MIN_REFERENCE_VALUES)
    ]
    reference = build_reference(Scales(), version, write_dataset(tmp_path, rows))
    assert len(reference["labels.length"]) == 2 * MIN_REFERENCE_VALUES
    assert len(reference["outputs.length"]) == 4 * MIN_REFERENCE_VALUES


def test_few_rows_give_no_reference(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(n) for n in range(MIN_REFERENCE_VALUES - 1)] + [
        scale_row(n, split="train") for n in range(MIN_REFERENCE_VALUES, 500)
    ]
    assert build_reference(Scales(), version, write_dataset(tmp_path, rows)) == {}


def test_rows_that_the_version_can_not_predict_are_left_out(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(n, reading=None if n % 2 else np.zeros((1, 2), np.float32)) for n in range(200)]
    assert len(build_reference(Scales(), version, write_dataset(tmp_path, rows))["outputs.length"]) == 100


def test_a_reference_of_many_features_fits_into_a_card(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(n, reading=make_reading(n)) for n in range(MAX_WINDOW_EVENTS)]
    reference = build_reference(ManyFeatureScales(), version, write_dataset(tmp_path, rows))
    assert MIN_REFERENCE_VALUES < len(reference["inputs.number7"]) < MAX_WINDOW_EVENTS
    assert sum(map(len, reference.values())) <= MAX_NUMBERS
    assert len(json.dumps({DRIFT_REFERENCE: reference})) < MAX_CARD_BYTES * 0.9


def test_a_window_is_compared_with_the_reference(version: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [scale_row(n, reading=make_reading(random.normal())) for n in range(MAX_WINDOW_EVENTS)]
    reference = read_reference(
        json.loads(json.dumps({DRIFT_REFERENCE: build_reference(Scales(), version, write_dataset(tmp_path, rows))}))
    )
    assert reference is not None
    for shift, drifted in ((0.0, set()), (3.0, {"inputs.reading.mean", "inputs.reading.std"})):
        window = {
            "inputs.reading.mean": random.normal(shift, size=300) / 2,
            "inputs.reading.std": np.abs(random.normal(shift, size=300)) / 2,
        }
        assert {one.feature for one in detect_drift(reference, window) if one.drifted} == drifted
