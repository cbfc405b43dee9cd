"""The decoder's update is fitted to corrected utterances, within a bound on what is forgotten."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from models.adapters.low_rank import Factors
from models.speech_to_text.training.decoder import hidden
from models.speech_to_text.training.fitting import Decoder, Examples, Plan, fit, open_decoder, stored, tuned
from tests.support.speech_decoder import made_utterances, made_weights

WEIGHTS = made_weights()
PLAN = Plan(("self_attn/o_proj", "encoder_attn/v_proj", "mlp/fc2"), rank=4, epochs=8, rate=1e-2, max_divergence=10.0)


def computed(tokens: list[int], states: NDArray[np.float32], frames: int) -> NDArray[Any]:
    arrays = (WEIGHTS.embedding, WEIGHTS.norm, np.array([tokens]), states[None], np.array([frames]))
    layers = {name: jnp.asarray(array) for name, array in WEIGHTS.layers.items()}
    found = hidden(layers, *map(jnp.asarray, arrays))
    return np.asarray(found[0])


def test_a_state_depends_on_the_tokens_before_and_on_the_frames_that_count() -> None:
    states = np.random.default_rng(1).normal(size=(6, 288)).astype(np.float32)
    found = computed([1, 4, 5, 6], states, 4)
    np.testing.assert_allclose(computed([1, 4, 5, 7], states, 4)[:3], found[:3], atol=1e-5)
    np.testing.assert_allclose(computed([1, 4, 5, 6], np.vstack((states[:4], 9 * states[4:])), 4), found, atol=1e-5)
    assert np.abs(computed([1, 3, 5, 6], states, 4)[2] - found[2]).max() > 1e-3
    assert np.abs(computed([1, 4, 5, 6], states, 6) - found).max() > 1e-3


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return open_decoder(WEIGHTS, made_utterances(6, 0))


@pytest.fixture(scope="module")
def examples(decoder: Decoder) -> Examples:
    return Examples(made_utterances(6, 0), decoder.with_parents(made_utterances(4, 1)))


@pytest.fixture(scope="module")
def factors(decoder: Decoder, examples: Examples) -> Factors:
    return fit(decoder, examples, PLAN, lambda *_: None)


def test_the_further_from_the_parent_the_better_the_corrected_utterances_are_told(
    decoder: Decoder, examples: Examples, factors: Factors
) -> None:
    found = tuned(decoder, factors, examples, PLAN)
    losses = [trial.feedback_loss for trial in found.trials]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]
    assert found.share == 1.0
    assert found.trials[0].rehearsal_loss == pytest.approx(0.0, abs=1e-4)


def test_what_would_forget_too_much_is_not_chosen(decoder: Decoder, examples: Examples, factors: Factors) -> None:
    found = tuned(decoder, factors, examples, replace(PLAN, max_divergence=1e-3))
    assert found.share < 1.0
    assert next(trial for trial in found.trials if trial.share == found.share).rehearsal_loss <= 1e-3


def test_the_weights_that_are_stored_repeat_by_seed(decoder: Decoder, examples: Examples, factors: Factors) -> None:
    again = stored(WEIGHTS, fit(decoder, examples, PLAN, lambda *_: None), 1.0)
    first = stored(WEIGHTS, factors, 1.0)
    assert set(first) == set(PLAN.modules)
    for name, integers in first.items():
        assert integers.dtype == np.uint8
        np.testing.assert_array_equal(integers, again[name])


def test_without_a_share_the_weights_are_the_parents(factors: Factors) -> None:
    for name, integers in stored(WEIGHTS, factors, 0.0).items():
        np.testing.assert_array_equal(integers, WEIGHTS.matrices[name][0].integers)
