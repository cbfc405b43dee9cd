"""What a card says is usual for its version."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.monitoring.drift import FEWEST, LONGEST
from app.registry.registration import CARD_BYTES
from app.retraining.pipeline.drift_reference import NUMBERS, reference
from app.retraining.triggers.drift_window import REFERENCE, findings, of_card
from models.base import Features
from tests.support.datasets import weighed, written
from tests.support.scales import Scales, scale


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version that says what the scale shows."""
    (tmp_path / "model.onnx").write_bytes(scale(0.0))
    return tmp_path / "model.onnx"


class Verbose(Scales):
    """Scales with so many numbers that 1,000 events of them are too many for a card."""

    def summary(self, features: Features) -> dict[str, float]:
        return {f"number{place}": float(features["reading"][0]) / 3 for place in range(99)}


def reading(number: float) -> NDArray[Any]:
    return np.array([number, 0.0], np.float32)


def test_it_is_of_the_newest_rows_that_were_not_learned_from(version: Path, tmp_path: Path) -> None:
    splits = {0: "train", 1: "validation", 2: "test"}
    rows = [weighed(n, reading=reading(n), split=splits[n % 3]) for n in range(3000)]
    usual = reference(Scales(), version, written(tmp_path, rows))
    shown = [float(f"{n / 2:.6g}") for n in range(3000) if n % 3][-LONGEST:]
    assert usual["inputs.reading.mean"] == shown
    assert usual["outputs.confidence"] == [1.0] * LONGEST


def test_labels_are_those_that_were_to_be_given_anyhow(version: Path, tmp_path: Path) -> None:
    label = json.dumps({"weight": 7.0})
    rows = [weighed(n, label=label, selection_probability=0.5 if n % 2 else None) for n in range(4 * FEWEST)]
    usual = reference(Scales(), version, written(tmp_path, rows))
    assert len(usual["labels.length"]) == 2 * FEWEST
    assert len(usual["outputs.length"]) == 4 * FEWEST


def test_of_few_rows_nothing_is_usual(version: Path, tmp_path: Path) -> None:
    rows = [weighed(n) for n in range(FEWEST - 1)] + [weighed(n, split="train") for n in range(FEWEST, 500)]
    assert reference(Scales(), version, written(tmp_path, rows)) == {}


def test_what_a_version_can_not_answer_is_left_out(version: Path, tmp_path: Path) -> None:
    rows = [weighed(n, reading=None if n % 2 else np.zeros((1, 2), np.float32)) for n in range(200)]
    assert len(reference(Scales(), version, written(tmp_path, rows))["outputs.length"]) == 100


def test_however_many_features_it_fits_into_a_card(version: Path, tmp_path: Path) -> None:
    rows = [weighed(n, reading=reading(n)) for n in range(LONGEST)]
    usual = reference(Verbose(), version, written(tmp_path, rows))
    assert FEWEST < len(usual["inputs.number7"]) < LONGEST
    assert sum(map(len, usual.values())) <= NUMBERS
    assert len(json.dumps({REFERENCE: usual})) < CARD_BYTES * 0.9


def test_what_comes_is_held_against_it(version: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [weighed(n, reading=reading(random.normal())) for n in range(LONGEST)]
    usual = of_card(json.loads(json.dumps({REFERENCE: reference(Scales(), version, written(tmp_path, rows))})))
    assert usual is not None
    for shift, drifted in ((0.0, set()), (3.0, {"inputs.reading.mean", "inputs.reading.std"})):
        window = {
            "inputs.reading.mean": random.normal(shift, size=300) / 2,
            "inputs.reading.std": np.abs(random.normal(shift, size=300)) / 2,
        }
        assert {one.feature for one in findings(usual, window) if one.drifted} == drifted
