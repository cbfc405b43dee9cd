"""From maps to boxes: one a peak, best first, bounded, and a confidence that falls with doubt."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.object_detection.boxes import overlaps
from models.object_detection.candidates import MAX_BOXES, MIN_CANDIDATE_SCORE, Candidates, confidence, doubt
from models.small.object_detection.decoding import MAX_CANDIDATES, SAME_OBJECT_IOU, candidates
from models.small.object_detection.images import Geometry
from models.small.object_detection.labels import LABELS

GRID = 16
Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def nothing(batch: int = 1) -> Maps:
    return np.full((batch, GRID, GRID, len(LABELS)), 0.01, np.float32), np.full((batch, GRID, GRID, 4), 8, np.float32)


def test_a_peak_is_a_box_around_its_cell() -> None:
    scores, distances = nothing()
    scores[0, 3, 5, 2], distances[0, 3, 5] = 0.9, (10, 4, 20, 6)
    (found,) = candidates(scores, distances)
    assert found.boxes.tolist() == [[44 - 10, 28 - 4, 44 + 20, 28 + 6]]
    assert found.labels.tolist() == [2]
    np.testing.assert_allclose(found.best, [0.9], atol=1e-6)


def test_two_cells_of_one_object_are_one_box() -> None:
    scores, distances = nothing()
    scores[0, 3, 5, 2], distances[0, 3, 5] = 0.9, (20, 20, 20, 20)
    scores[0, 3, 6, 2], distances[0, 3, 6] = 0.8, (28, 20, 12, 20)
    (found,) = candidates(scores, distances)
    assert len(found.boxes) == 1


def test_an_empty_scene_has_no_boxes_and_no_doubt() -> None:
    (found,) = candidates(*nothing())
    assert found.boxes.shape == (0, 4)
    assert doubt(found, np.zeros(0, np.int64)).tolist() == [0.0, 0.0]


@given(seed=st.integers(0, 10_000), sharpness=st.floats(0.1, 4))
def test_boxes_are_few_apart_and_best_first_and_each_scene_stands_alone(seed: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.random((3, GRID, GRID, len(LABELS))) ** sharpness).astype(np.float32)
    distances = rng.uniform(2, 40, (3, GRID, GRID, 4)).astype(np.float32)
    found = candidates(scores, distances)
    for row, one in enumerate(found):
        assert len(one.boxes) == len(one.cells) == len(one.scores) <= MAX_CANDIDATES
        assert (one.best >= MIN_CANDIDATE_SCORE).all()
        assert (np.diff(one.best) <= 0).all()
        assert (overlaps(one.boxes, one.boxes)[~np.eye(len(one.boxes), dtype=bool)] <= SAME_OBJECT_IOU).all()
        (alone,) = candidates(scores[row : row + 1], distances[row : row + 1])
        np.testing.assert_array_equal(alone.boxes, one.boxes)
        np.testing.assert_array_equal(alone.cells, one.cells)
        np.testing.assert_array_equal(one.scores, scores[row].reshape(-1, len(LABELS))[one.cells])


def test_every_cell_an_object_is_bounded() -> None:
    scores, distances = nothing()
    scores[..., 0], distances[:] = 0.99, 3
    (found,) = candidates(scores, distances)
    assert len(found.boxes) == MAX_CANDIDATES
    assert len(found.placed(Geometry.of(128, 128)).boxes) == MAX_BOXES


def test_doubt_is_of_what_is_said_and_of_what_is_left_out() -> None:
    scores = np.array([[0.9, 0.2], [0.3, 0.5], [0.1, 0.2]])
    found = Candidates(np.zeros((3, 4)), scores, np.arange(3))
    np.testing.assert_allclose(doubt(found, np.array([0, 1, 2])), [np.log(0.9 * 0.5), np.log(0.8)])
    np.testing.assert_allclose(doubt(found, np.array([1, 2, 2])), [np.log(0.2), np.log(0.5 * 0.8)])


@given(st.floats(-50, 0), st.floats(-50, 0), st.floats(0.01, 5))
def test_confidence_is_a_probability_that_falls_with_doubt(said: float, unsaid: float, more: float) -> None:
    certainty = np.array([1.5, 0.8, 0.6], np.float32)
    sure = confidence(np.array([said, unsaid]), certainty)
    assert 0 <= sure <= 1
    assert confidence(np.array([said - more, unsaid]), certainty) <= sure
    assert confidence(np.array([said, unsaid - more]), certainty) <= sure
