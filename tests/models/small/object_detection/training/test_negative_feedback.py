"""NegativeScenes scenes: what is said is the policy's, and gets less probable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from models.object_detection.candidates import Candidates
from models.object_detection.policy import probabilities
from models.small.object_detection.labels import LABELS
from models.small.object_detection.training.negative_feedback import NO_CANDIDATE, NegativeScenes, unlikelihood_loss
from models.small.object_detection.training.network import GRID

CLASSES = len(LABELS)
CELLS = np.array([17, 200, 33])


def scene(choices: list[int], weight: float) -> NegativeScenes:
    cells, said = np.zeros((1, 50), np.int32), np.full((1, 50), NO_CANDIDATE, np.int32)
    cells[0, :3], said[0, :3] = CELLS, choices
    return NegativeScenes(np.zeros((1, 128, 128, 3), np.uint8), cells, said, np.array([weight], np.float32))


def logits(seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(1, GRID, GRID, CLASSES)).astype(np.float32)


def chance(maps: NDArray[np.float32], choices: list[int]) -> float:
    """By the serving policy."""
    scores = 1 / (1 + np.exp(-maps.reshape(-1, CLASSES)[CELLS].astype(np.float64)))
    chances = probabilities(Candidates(np.zeros((3, 4)), scores, CELLS))
    return float(np.prod(chances[np.arange(3), choices]))


@pytest.mark.parametrize("choices", [[0, 1, 2], [CLASSES, 6, CLASSES], [CLASSES] * 3])
def test_the_loss_is_of_the_probability_that_the_policy_served_with(choices: list[int]) -> None:
    expected = -2.0 * np.log1p(-chance(logits(), choices))
    assert float(unlikelihood_loss(jnp.asarray(logits()), scene(choices, 2.0))) == pytest.approx(
        expected, rel=1e-2, abs=4e-6
    )


def test_a_step_makes_what_was_worse_less_probable_and_leaves_other_cells_alone() -> None:
    choices, before = [CLASSES, 3, 0], logits()
    slope = jax.grad(lambda maps: unlikelihood_loss(maps, scene(choices, 1.0)))(jnp.asarray(before))
    assert chance(before - 0.5 * np.asarray(slope), choices) < chance(before, choices)
    untouched = np.delete(np.asarray(slope).reshape(-1, CLASSES), CELLS, axis=0)
    assert not untouched.any()


def test_what_is_sure_and_wrong_has_a_finite_cost() -> None:
    sure = np.full((1, GRID, GRID, CLASSES), -60.0, np.float32)
    assert np.isfinite(float(unlikelihood_loss(jnp.asarray(sure), scene([CLASSES] * 3, 1.0))))


def test_mirroring_moves_the_cells_with_the_picture() -> None:
    one = scene([0, 1, 2], 1.0)
    mirrored = one.mirrored()
    assert mirrored.cells[0, :3].tolist() == [16 + 14, 192 + 7, 32 + 14]
    again = mirrored.mirrored()
    np.testing.assert_array_equal(again.squares, one.squares)
    np.testing.assert_array_equal(again.cells, one.cells)
