"""Scores: laws, known cases, and agreement with COCO's evaluator where both say the same."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.object_detection.scoring import all_right, hits, mean_average_precision
from models.small.object_detection.labels import LABELS

Boxes = list[dict[str, Any]]


def box(x: float, label: str = "mug", score: float = 0.9) -> dict[str, Any]:
    """One of a row of boxes, ten pixels wide."""
    return {"box": [x, 0.0, x + 10, 10.0], "label": label, "score": score}


places = st.builds(
    lambda x, y, w, h, label, score: {"box": [x, y, x + w, y + h], "label": label, "score": score},
    *[st.integers(0, 40)] * 2,
    *[st.integers(4, 30)] * 2,
    st.sampled_from(LABELS[:3]),
    st.floats(0.4, 1),
)
scenes = st.lists(places, max_size=6)


@given(scenes, scenes)
def test_a_score_lies_between_0_and_1(said: Boxes, true: Boxes) -> None:
    assert 0.0 <= mean_average_precision(said, true) <= 1.0


@given(scenes)
def test_the_truth_is_perfect(true: Boxes) -> None:
    assert all_right(true, true)
    assert mean_average_precision(true, true) == pytest.approx(1.0)


@given(scenes, scenes)
def test_what_is_all_right_is_perfect(said: Boxes, true: Boxes) -> None:
    if all_right(said, true):
        assert mean_average_precision(said, true) == pytest.approx(1.0)
    assert hits(said, true).sum() <= min(len(said), len(true))


@given(scenes, scenes, st.randoms())
def test_the_order_of_the_truth_does_not_matter(said: Boxes, true: Boxes, random: Any) -> None:
    shuffled = random.sample(true, len(true))
    separate = {tuple(one["box"]) for one in true}
    if len(separate) == len(true):
        assert mean_average_precision(said, shuffled) == pytest.approx(mean_average_precision(said, true))


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [
        ([], [], 1.0),
        ([], [box(0)], 0.0),
        ([box(0)], [], 0.0),
        ([box(3)], [box(0)], 1.0),  # intersection over union 7 / 13
        ([box(4)], [box(0)], 0.0),  # 6 / 14
        ([box(0, "key")], [box(0)], 0.0),
        ([box(0, score=0.9), box(50, score=0.8)], [box(0)], 1.0),  # a false one behind the right ones costs nothing
        ([box(50, score=0.9), box(0, score=0.8)], [box(0)], 0.5),
        ([box(0)], [box(0), box(50)], 0.5),
        ([box(0), box(1)], [box(0), box(50)], 0.5),  # an object is found once only
        ([box(0), box(50, "key")], [box(0), box(80, "star")], 1 / 3),
    ],
)
def test_scores_of_known_scenes(said: Boxes, true: Boxes, expected: float) -> None:
    assert mean_average_precision(said, true) == pytest.approx(expected)


def test_something_besides_the_objects_is_not_all_right() -> None:
    assert not all_right([box(0), box(50)], [box(0)])
    assert not all_right([box(0)], [box(0), box(50)])
    assert all_right([], [])


def test_found_objects_come_from_the_best_boxes() -> None:
    np.testing.assert_array_equal(hits([box(1, score=0.5), box(0, score=0.6)], [box(0)]), [False, True])
