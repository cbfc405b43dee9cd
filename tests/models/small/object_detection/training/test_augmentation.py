"""Scenes moved by chance: their boxes go with them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.small.object_detection.images import PADDING_GREY, SIDE
from models.small.object_detection.training.augmentation import augmented


def block(box: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """A white block on black; the second row is no object."""
    squares = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    squares[0, box[1] : box[3], box[0] : box[2]] = 255
    boxes = np.zeros((1, 2, 4), np.float32)
    boxes[0, 0] = box
    return squares, boxes, np.array([[4, -1]], np.int32)


@given(seed=st.integers(0, 2**32))
def test_a_box_lies_around_its_object_wherever_it_went(seed: int) -> None:
    squares, boxes, labels = augmented(*block((50, 56, 82, 76)), np.random.default_rng(seed))
    assert labels.tolist() == [[4, -1]]
    rows, columns = np.nonzero(squares[0, ..., 0] > (PADDING_GREY + 255) // 2)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(boxes[0, 0], found, atol=1.0)


@given(seed=st.integers(0, 2**32))
def test_boxes_stay_in_the_square_and_what_is_mostly_gone_counts_no_more(seed: int) -> None:
    _, boxes, labels = augmented(*block((0, 0, 6, 128)), np.random.default_rng(seed))
    assert (boxes >= 0).all()
    assert (boxes <= SIDE).all()
    left = (boxes[0, 0, 2] - boxes[0, 0, 0]) * (boxes[0, 0, 3] - boxes[0, 0, 1])
    assert labels[0, 0] == 4 or left < 0.6 * 6 * 128 * 1.25**2


def test_scenes_go_different_ways_and_the_same_chance_goes_the_same() -> None:
    squares, boxes, labels = (np.concatenate([part, part]) for part in block((50, 50, 80, 80)))
    first, again = (augmented(squares, boxes, labels, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0][0], first[0][1])
