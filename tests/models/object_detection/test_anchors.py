"""From the network's best anchors to candidates: one an object and class, best first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.object_detection.anchors import CLASSES, KEPT_ANCHORS, SAME_OBJECT_IOU, candidates
from models.object_detection.boxes import overlaps
from models.object_detection.candidates import MIN_CANDIDATE_SCORE

DOG, HORSE = 16, 17
PLACES = np.arange(3)


def scored(*best: tuple[int, float]) -> NDArray[np.float32]:
    scores = np.full((len(best), CLASSES), 0.01, np.float32)
    for row, (label, score) in enumerate(best):
        scores[row, label] = score
    return scores


BOXES = np.array([[0.1, 0.1, 0.5, 0.5], [0.11, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)


def test_two_boxes_of_one_class_on_one_object_are_one_and_those_of_two_classes_stay_two() -> None:
    alike = candidates(PLACES, scored((DOG, 0.8), (DOG, 0.9), (DOG, 0.4)), BOXES)
    assert alike.cells.tolist() == [1, 2]
    differing = candidates(PLACES, scored((DOG, 0.8), (HORSE, 0.9), (DOG, 0.4)), BOXES)
    assert differing.labels.tolist() == [HORSE, DOG, DOG]
    np.testing.assert_allclose(differing.best, [0.9, 0.8, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(differing.boxes, BOXES[[1, 0, 2]].astype(np.float64))


def test_what_is_hardly_probable_is_no_candidate() -> None:
    found = candidates(PLACES, scored((DOG, 0.04), (DOG, 0.06), (HORSE, 0.03)), BOXES)
    assert found.cells.tolist() == [1]
    assert candidates(PLACES, scored(*[(DOG, 0.01)] * 3), BOXES).boxes.shape == (0, 4)


@given(st.integers(0, 10_000))
def test_candidates_are_apart_in_their_class_and_best_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.2, 1.2, (KEPT_ANCHORS, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    scores = (rng.random((KEPT_ANCHORS, CLASSES)) ** 20).astype(np.float32)
    scores[:, 5:] = 0
    found = candidates(np.arange(KEPT_ANCHORS), scores, boxes)
    assert (found.best >= MIN_CANDIDATE_SCORE).all()
    assert (np.diff(found.best) <= 0).all()
    alike = (found.labels[:, None] == found.labels) & ~np.eye(len(found.cells), dtype=bool)
    assert (overlaps(found.boxes, found.boxes)[alike] <= SAME_OBJECT_IOU + 1e-6).all()
