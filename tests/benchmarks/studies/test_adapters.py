"""The study of adapters: its lines repeat by seed, and its table is right."""

import numpy as np
import pytest

from benchmarks.studies.adapters import LINES, Change, draw, edits
from models.base import Decoded, EvaluatedSample


@pytest.mark.parametrize("kind", LINES)
def test_lines_repeat_by_seed_and_those_to_measure_on_are_others(kind: str) -> None:
    learned = draw(kind, "train", 3, 1)
    assert learned == draw(kind, "train", 3, 1)
    others = draw(kind, "train", 3, 2) + draw(kind, "test", 3, 1)
    assert not {sample.payload for sample in learned} & {sample.payload for sample in others}
    assert all(sample.correction["text"].strip() for sample in learned)


def test_edits_are_counted_against_the_true_text() -> None:
    samples = draw("codes", "test", 2, 1)
    truths = [sample.correction["text"] for sample in samples]
    judged = [
        EvaluatedSample(sample, Decoded({"text": text}, 1.0))
        for sample, text in zip(samples, (truths[0], truths[1][:-2]), strict=True)
    ]
    assert edits(judged).tolist() == [[0, len(truths[0])], [2, len(truths[1])]]


def test_a_row_says_both_error_rates_and_how_much_less_the_second_is() -> None:
    before, after = np.array([[4, 10], [4, 10]]), np.array([[1, 10], [1, 10]])
    row = Change("fax", before, after).row()
    assert row == "| fax | 2 | 40.00% (40.00% to 40.00%) | 10.00% (10.00% to 10.00%) | -75% |"
    assert Change("fax", after * 0, after).row().endswith("| none |")
