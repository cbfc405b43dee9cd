"""The benchmark of corrections and rewards: its log is one that training reads, its intervals are right."""

from pathlib import Path

import numpy as np
import pytest

from app.settings import CHECKOUT
from benchmarks.drifted import SOURCES
from benchmarks.drifted.log import SPLITS, served, write_dataset
from benchmarks.rewards import Errors, Interval, Measured, Options, markdown
from models.base import Decoded, EvaluatedSample
from models.datasets import rows

NEEDS = {"speech_to_text": pytest.mark.needs("espeak-ng")}


@pytest.mark.parametrize("task", [pytest.param(task, marks=NEEDS.get(task, ())) for task in SOURCES])
def test_the_log_says_of_each_sample_what_a_person_would(task: str, tmp_path: Path) -> None:
    source, shipped = SOURCES[task], CHECKOUT / "models" / task / "versions/1/model.onnx"
    made = source.samples(4, 12, 3)
    assert made == source.samples(4, 12, 3)
    assert not {one.payload for one in made.tested} & {one.payload for one in made.logged}
    right = [EvaluatedSample(one, Decoded(one.correction, 1.0)) for one in made.tested]
    assert source.error(right) == pytest.approx(0.0)
    log = served(source, 0.5, made.logged, shipped, "test")
    found = list(rows(write_dataset(tmp_path / "log", log, 10)))
    assert [row.split for row in found] == [*SPLITS, "train", "train"]
    for number, (row, one) in enumerate(zip(found, log, strict=True)):
        assert row.output == one.decoded.output
        assert row.propensity == one.decoded.propensity
        assert row.reward == (None if number >= 10 else source.reward(one.decoded.output, one.sample.correction))
        assert row.label == (None if number < 10 else one.sample.correction)
        for name, tensor in one.asked.features.items():
            np.testing.assert_array_equal(row.features[name], tensor)


def test_an_interval_is_students() -> None:
    interval = Interval.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.half == pytest.approx(2.776 * np.sqrt(2.5 / 5), rel=1e-3)


def test_the_table_has_a_row_for_what_was_and_for_each_fine_tuning() -> None:
    before = Errors(0.2, 0.03)
    found = [
        Measured(seed, kind, 100, before, Errors(0.1, 0.03), 1.0)
        for seed in range(2)
        for kind in ("corrections", "rewards", "both")
    ]
    table = [
        line for line in markdown(found, Options("ocr", 2, (100,), 0.3, 400)).splitlines() if line.startswith("| ")
    ]
    assert len(table) == 5
    assert "20.0% ± 0.0% | +0.0% ± 0.0%" in table[1]
    assert all("10.0% ± 0.0% | -50.0% ± 0.0% | 3.0% ± 0.0%" in line for line in table[2:])
