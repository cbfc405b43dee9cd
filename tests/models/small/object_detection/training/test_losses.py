"""What cells are told of a scene, how wrong they are, and how far from another network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.object_detection.boxes import overlaps
from models.small.object_detection.training import losses
from models.small.object_detection.training.losses import distance

# Compiled, as in training: each of their operations alone would be compiled otherwise.
targets = jax.jit(losses.targets)
giou_loss = jax.jit(losses.giou_loss)


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
    heats, _, own = targets(jnp.zeros((1, 16, 4)), jnp.full((1, 16), -1))
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


def test_a_network_is_no_way_from_itself_and_edges_count_where_the_parent_sees_something() -> None:
    rng = np.random.default_rng(0)
    logits, distances = jnp.asarray(rng.normal(size=(2, 16, 16, 7))), jnp.asarray(rng.uniform(1, 9, (2, 16, 16, 4)))
    assert float(distance(logits, distances, logits, distances)) == 0.0
    assert float(distance(logits + 1, distances, logits, distances)) > 0.0
    seen, unseen = jnp.full_like(logits, 9.0), jnp.full_like(logits, -9.0)
    assert float(distance(seen, 2 * distances, seen, distances)) > 1.0
    assert float(distance(unseen, 2 * distances, unseen, distances)) < 0.1
