"""Updates of low rank are added to frozen matrices."""

import jax.numpy as jnp
import numpy as np

from models.adapters.low_rank import initial, updated, updates

LAYERS = {"a": np.ones((2, 6, 5), np.float32), "b": np.ones((2, 6, 4), np.float32)}


def test_at_the_beginning_nothing_is_added() -> None:
    factors = initial(LAYERS, ["a"], 2, seed=0)
    np.testing.assert_array_equal(updated(LAYERS, factors)["a"], LAYERS["a"])


def test_what_is_added_has_the_rank_of_the_factors_and_only_in_the_chosen_modules() -> None:
    first, second = initial(LAYERS, ["a"], 2, seed=0)["a"]
    factors = {"a": (first, second + jnp.arange(20.0).reshape(2, 2, 5) ** 2)}
    changed = updated(LAYERS, factors)
    assert np.linalg.matrix_rank(np.asarray(changed["a"] - LAYERS["a"])).tolist() == [2, 2]
    assert changed["b"] is LAYERS["b"]
    np.testing.assert_allclose(updates(factors, 0.5)["a"], (changed["a"] - 1) / 2, rtol=1e-4, atol=1e-5)


def test_factors_repeat_by_seed() -> None:
    first, again, other = (np.asarray(initial(LAYERS, ["a"], 2, seed)["a"][0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
