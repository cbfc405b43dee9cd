"""How far to go from a parent: as far as helps, and no farther than forgets little."""

import jax.numpy as jnp
import numpy as np

from models.nn.weight_interpolation import Trial, chosen, interpolated


def test_the_least_loss_on_feedback_is_chosen_where_little_is_forgotten() -> None:
    trials = [Trial(0.0, 3.0, 1.0), Trial(0.5, 2.0, 1.04), Trial(1.0, 1.0, 1.2)]
    assert chosen(trials).share == 0.5
    assert chosen(trials, most_forgotten=1.3).share == 1.0


def test_the_parent_is_chosen_where_nothing_is_better() -> None:
    assert chosen([Trial(0.0, 1.0, 1.0), Trial(0.5, 1.1, 0.9), Trial(1.0, 1.2, 0.8)]).share == 0.0


def test_without_feedback_to_choose_by_it_is_the_farthest() -> None:
    assert chosen([Trial(0.0, 0.0, 1.0), Trial(0.5, 0.0, 1.0), Trial(1.0, 0.0, 9.0)]).share == 0.5


def test_between_is_on_the_line_and_exactly_the_parent_at_its_end() -> None:
    parent = [(jnp.full((2, 2), 0.1), jnp.zeros(2))]
    fitted = [(jnp.full((2, 2), 0.7), jnp.ones(2))]
    ((weights, bias),) = interpolated(parent, fitted, 0.25)
    np.testing.assert_allclose(weights, np.full((2, 2), 0.25), rtol=1e-6)
    np.testing.assert_allclose(bias, [0.25, 0.25])
    np.testing.assert_array_equal(interpolated(parent, fitted, 0.0)[0][0], parent[0][0])
