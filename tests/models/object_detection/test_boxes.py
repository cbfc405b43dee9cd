"""Overlap and suppression: the laws they keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.object_detection.boxes import kept, overlaps

edges = st.floats(0, 100, allow_nan=False)
lengths = st.floats(0.5, 60, allow_nan=False)
corners = st.tuples(edges, edges, lengths, lengths)
many = st.lists(corners, max_size=12).map(
    lambda all_: np.array([(x, y, x + w, y + h) for x, y, w, h in all_], np.float64).reshape(-1, 4)
)
Boxes = NDArray[np.float64]


@given(many, many)
def test_overlap_is_a_share_and_the_same_both_ways(first: Boxes, second: Boxes) -> None:
    found = overlaps(first, second)
    assert found.shape == (len(first), len(second))
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    np.testing.assert_allclose(found, overlaps(second, first).T)


@given(many, st.floats(-50, 50), st.floats(0.1, 10))
def test_overlap_knows_no_place_and_no_unit(boxes: Boxes, away: float, unit: float) -> None:
    np.testing.assert_allclose(overlaps(boxes, boxes), overlaps(boxes * unit + away, boxes * unit + away), atol=1e-6)


@given(many)
def test_a_box_overlaps_itself_wholly(boxes: Boxes) -> None:
    np.testing.assert_allclose(np.diag(overlaps(boxes, boxes)), 1.0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0.0), ((30, 30, 40, 40), 0.0), ((0, 0, 10, 5), 0.5), ((3, 3, 3, 3), 0)],
)
def test_overlap_of_known_boxes(other: tuple[float, ...], expected: float) -> None:
    assert overlaps(np.array([[0.0, 0, 10, 10]]), np.array([other]))[0, 0] == pytest.approx(expected)


@given(many, st.integers(0, 1000), st.floats(0.05, 0.95))
def test_suppression_keeps_the_best_and_none_that_a_better_one_hides(boxes: Boxes, seed: int, most: float) -> None:
    scores = np.random.default_rng(seed).random(len(boxes))
    keep = kept(boxes, scores, most)
    assert list(scores[keep]) == sorted(scores[keep], reverse=True)
    among = overlaps(boxes[keep], boxes[keep])
    assert (among[~np.eye(len(keep), dtype=bool)] <= most).all()
    for left_out in set(range(len(boxes))) - set(keep.tolist()):
        better = keep[scores[keep] >= scores[left_out]]
        assert overlaps(boxes[[left_out]], boxes[better]).max() > most
    np.testing.assert_array_equal(kept(boxes[keep], scores[keep], most), np.arange(len(keep)))


def test_of_equals_the_first_is_kept() -> None:
    assert kept(np.array([[0.0, 0, 4, 4]] * 3), np.array([0.5, 0.5, 0.5]), 0.5).tolist() == [0]
