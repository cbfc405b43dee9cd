"""Anchors are matched with the objects of a picture."""

import numpy as np
import pytest

from models.adapters.linear_layer import Floats
from models.object_detection.training.matching import NOTHING, matches
from models.object_detection.training.network import Anchors


def floats(values: list[list[float]]) -> Floats:
    return np.array(values, np.float32)


ANCHORS = Anchors(floats([[0.25, 0.25], [0.25, 0.75], [0.75, 0.5]]), floats([[0.25, 0.25]] * 3))


def test_an_anchor_sees_the_object_that_it_overlaps_by_half() -> None:
    seen = matches(ANCHORS, floats([[0.05, 0.0, 0.5, 0.5], [0.6, 0.1, 0.9, 0.45]]), [7, 3])
    assert seen.labels.tolist() == [7, 3, NOTHING]


def test_an_object_that_no_anchor_overlaps_by_half_is_seen_by_the_nearest() -> None:
    seen = matches(ANCHORS, floats([[0.45, 0.8, 0.55, 0.9]]), [1])
    assert seen.labels.tolist() == [NOTHING, NOTHING, 1]


def test_without_objects_no_anchor_sees_one() -> None:
    seen = matches(ANCHORS, np.zeros((0, 4), np.float32), [])
    assert set(seen.labels.tolist()) == {NOTHING}
    assert seen.edges.shape == (3, 4)
    assert not seen.edges.any()


def test_encoded_edges_are_zero_for_the_anchors_own_box() -> None:
    np.testing.assert_allclose(ANCHORS.encoded(ANCHORS.corners()), 0, atol=1e-6)


def test_encoded_edges_are_what_the_network_decodes() -> None:
    boxes = floats([[0.1, 0.2, 0.5, 0.4], [0.5, 0.0, 1.0, 0.5], [0.3, 0.6, 0.6, 0.95]])
    moved, grown = np.split(ANCHORS.encoded(boxes), 2, axis=1)
    centres = moved * 0.1 * 2 * ANCHORS.halves + ANCHORS.centres
    halves = np.exp(grown * 0.2) * ANCHORS.halves
    decoded = np.concatenate((centres - halves, centres + halves), axis=1)[:, [1, 0, 3, 2]]
    assert decoded == pytest.approx(boxes, abs=1e-6)
