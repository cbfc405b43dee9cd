"""The study of corrections and rewards: training reads its log, and its table is right."""

from pathlib import Path

import numpy as np
import pytest

from app.settings import CHECKOUT
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import SPLITS, FeedbackKind, serve_samples, write_dataset
from benchmarks.studies.rewards import FineTuningResult, StudyOptions, VersionErrors, markdown
from models.base import Decoded, EvaluatedSample
from models.datasets import rows

NEEDS = {"speech_to_text": pytest.mark.needs("espeak-ng")}


@pytest.mark.parametrize("task", [pytest.param(task, marks=NEEDS.get(task, ())) for task in SOURCES])
def test_the_log_has_the_feedback_of_a_person_for_each_sample(task: str, tmp_path: Path) -> None:
    source, shipped = SOURCES[task], CHECKOUT / "models/small" / task / "versions/1/model.onnx"
    samples = source.samples(4, 12, 3)
    assert samples == source.samples(4, 12, 3)
    assert not {sample.payload for sample in samples.tested} & {sample.payload for sample in samples.logged}
    perfect = [EvaluatedSample(sample, Decoded(sample.correction, 1.0)) for sample in samples.tested]
    assert source.error(perfect) == pytest.approx(0.0)
    log = serve_samples(source, 0.5, samples.logged, shipped, "test")
    kinds: list[FeedbackKind] = ["reward" if number < 10 else "correction" for number in range(12)]
    dataset_rows = list(rows(write_dataset(tmp_path / "log", log, kinds)))
    assert [row.split for row in dataset_rows] == [*SPLITS, "train", "train"]
    for number, (row, served) in enumerate(zip(dataset_rows, log, strict=True)):
        reward = source.reward(served.decoded.output, served.sample.correction)
        assert row.output == served.decoded.output
        assert row.propensity == served.decoded.propensity
        assert row.reward == (None if number >= 10 else reward)
        assert row.label == (None if number < 10 else served.sample.correction)
        for name, tensor in served.asked.features.items():
            np.testing.assert_array_equal(row.features[name], tensor)


def test_the_table_has_a_row_for_the_parent_and_for_each_fine_tuning() -> None:
    before = VersionErrors(0.2, 0.03)
    results = [
        FineTuningResult(seed, kind, 100, before, VersionErrors(0.1, 0.03), 1.0)
        for seed in range(2)
        for kind in ("corrections", "rewards", "both")
    ]
    table = [
        line
        for line in markdown(results, StudyOptions("ocr", 2, (100,), ("corrections", "rewards"), 0.3, 400)).splitlines()
        if line.startswith("| ")
    ]
    assert len(table) == 5
    assert "20.0% ± 0.0% | +0.0% ± 0.0%" in table[1]
    assert all("10.0% ± 0.0% | -50.0% ± 0.0% | 3.0% ± 0.0%" in line for line in table[2:])
