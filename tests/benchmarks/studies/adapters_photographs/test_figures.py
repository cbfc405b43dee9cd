"""Figures of boxes that are served."""

from typing import Any

import numpy as np
import pytest

from benchmarks.studies.adapters_photographs.figures import Judged, figures, intervals, judged
from models.base import Decoded, EvaluatedSample, Sample

CUP, DOG = {"box": [0, 0, 10, 10], "label": "cup"}, {"box": [20, 0, 40, 10], "label": "dog"}


def evaluated(boxes: list[dict[str, Any]], truth: dict[str, Any]) -> Judged:
    served = [{**box, "score": 0.9} for box in boxes]
    return judged(EvaluatedSample(Sample("a", b"", "image/png", truth, "a"), Decoded({"boxes": served}, 0.5)))


def test_right_boxes_are_recalled_and_wrong_ones_cost_precision() -> None:
    precision_mean, recall, precision = figures([evaluated([CUP, DOG, {**DOG, "label": "cat"}], {"boxes": [CUP, DOG]})])
    assert (precision_mean, recall) == (1.0, 1.0)
    assert precision == pytest.approx(2 / 3)
    assert figures([evaluated([CUP], {"boxes": [CUP, DOG]})]) == (0.5, 0.5, 1.0)


def test_boxes_of_unsure_labels_and_regions_do_not_count() -> None:
    truth = {"boxes": [CUP], "unsure labels": ["dog"], "unsure regions": [[15, 0, 50, 20]]}
    assert figures([evaluated([CUP, DOG], truth)]) == (1.0, 1.0, 1.0)
    assert figures([evaluated([CUP, {**DOG, "label": "cat"}], truth)]) == (1.0, 1.0, 1.0)
    assert figures([evaluated([CUP, {**DOG, "label": "cat"}], {"boxes": [CUP]})])[2] == 0.5


def test_an_interval_is_a_point_where_all_groups_are_alike() -> None:
    before, after = evaluated([], {"boxes": [CUP]}), evaluated([CUP], {"boxes": [CUP]})
    drawn = intervals([before] * 3, [after] * 3, np.random.default_rng(0))
    assert drawn[1] == ((0.0, 0.0), (1.0, 1.0), (1.0, 1.0))
