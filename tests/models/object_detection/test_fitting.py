"""Fitting: what cells are told, that it learns, and that it repeats itself exactly."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.object_detection.boxes import overlaps
from models.object_detection.fitting import Examples, Plan, fit, giou_loss, mirrored, targets
from models.object_detection.network import Detector

NETWORK = Detector(channels=(4, 4, 6, 8), blocks=(0, 0, 1, 0), head=8)
PLAN = Plan(epochs=8, batch=16, rate=1e-2, seed=4)


def blocks(number: int, seed: int) -> Examples:
    """A light block on a dark ground in each scene; how light it is says its class, 0 or 1."""
    rng = np.random.default_rng(seed)
    examples = Examples(
        np.zeros((number, 128, 128, 3), np.uint8),
        np.zeros((number, 16, 4), np.float32),
        np.full((number, 16), -1, np.int32),
    )
    for row in range(number):
        left, top = rng.integers(0, 90, size=2)
        label = row % 2
        examples.squares[row, top : top + 32, left : left + 32] = 120 + 130 * label
        examples.boxes[row, 0], examples.labels[row, 0] = (left, top, left + 32, top + 32), label
    return examples


def test_the_cell_of_an_object_s_middle_is_told_its_class_and_box() -> None:
    boxes = np.zeros((1, 16, 4), np.float32)
    labels = np.full((1, 16), -1, np.int32)
    boxes[0, 0], labels[0, 0] = (24, 40, 64, 64), 3  # its middle (44, 52): row 6, column 5
    heats, own_box, own = (np.asarray(one) for one in targets(jnp.asarray(boxes), jnp.asarray(labels)))
    assert heats[0, 6, 5, 3] == 1.0
    assert (heats < 0.999).sum() == heats.size - 1
    assert not heats[..., [0, 1, 2, 4, 5, 6]].any()
    assert own[0, 6, 5] == 1.0
    assert own_box[0, 6, 5].tolist() == [24, 40, 64, 64]
    assert own.sum() == 9


def test_a_cell_of_two_objects_belongs_to_the_smaller_one() -> None:
    boxes = np.zeros((1, 16, 4), np.float32)
    labels = np.full((1, 16), -1, np.int32)
    boxes[0, 0], boxes[0, 1], labels[0, :2] = (0, 0, 120, 120), (50, 50, 72, 72), (0, 1)
    _, own_box, _ = targets(jnp.asarray(boxes), jnp.asarray(labels))
    assert own_box[0, 7, 7].tolist() == [50, 50, 72, 72]


def test_an_empty_scene_asks_nothing_of_boxes() -> None:
    heats, _, own = targets(jnp.zeros((2, 16, 4)), jnp.full((2, 16), -1))
    assert not heats.any()
    assert not own.any()


@given(*[st.tuples(st.floats(0, 60), st.floats(0, 60), st.floats(1, 60), st.floats(1, 60))] * 2)
def test_the_box_loss_is_0_for_the_same_box_and_at_least_the_missing_overlap(
    one: tuple[float, ...], other: tuple[float, ...]
) -> None:
    a, b = (np.array([x, y, x + w, y + h], np.float32) for x, y, w, h in (one, other))
    assert float(giou_loss(jnp.asarray(a), jnp.asarray(a))) == pytest.approx(0.0, abs=1e-4)
    loss = float(giou_loss(jnp.asarray(a), jnp.asarray(b)))
    assert 1 - overlaps(a[None], b[None])[0, 0] - 1e-3 <= loss <= 2 + 1e-3


def test_mirroring_twice_changes_nothing() -> None:
    examples = blocks(3, 0)
    squares, boxes = mirrored(*mirrored(examples.squares, examples.boxes))
    np.testing.assert_array_equal(squares, examples.squares)
    np.testing.assert_array_equal(boxes, examples.boxes)


def test_the_loss_falls_each_step_is_reported_and_the_same_seed_gives_the_same() -> None:
    steps: list[tuple[int, int, float]] = []
    examples = blocks(64, 1)
    fitted = fit(NETWORK, NETWORK.initial(0), examples, PLAN, lambda *step: steps.append(step))
    assert [step for step, _, _ in steps] == list(range(1, 8 * 4 + 1))
    assert {total for _, total, _ in steps} == {32}
    assert np.mean(fitted.losses[-5:]) < 0.6 * np.mean(fitted.losses[:5])
    again = fit(NETWORK, NETWORK.initial(0), examples, PLAN)
    assert fitted.losses == again.losses
    for (weights, _), (weights_again, _) in zip(fitted.parameters, again.parameters, strict=True):
        np.testing.assert_array_equal(weights, weights_again)
