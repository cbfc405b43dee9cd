"""What a CTC policy serves: the propensities that it logs are those with which it does it."""

from collections import Counter
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import Asked
from models.nn.ctc import best_path, label_probabilities, single_spaced
from models.nn.ctc_policy import ServedLabels, joint_probabilities, propensities, serve

CLASSES = 3
shares = st.floats(0.0, 1.0)
seeds = st.integers(0, 2**32)


def random_log_probs(seed: int, batch: int, frames: int) -> NDArray[np.float32]:
    logits = 2 * np.random.default_rng(seed).normal(size=(batch, frames, CLASSES))
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=2, keepdims=True)), np.float32)


def rngs(count: int, name: str = "p") -> list[np.random.Generator]:
    return [Asked(f"{name}{number}", {}).rng() for number in range(count)]


def all_labels(frames: int) -> list[list[int]]:
    paths = product(range(CLASSES), repeat=frames)
    return [list(labels) for labels in sorted({tuple(label for label, _ in groupby(path) if label) for path in paths})]


@pytest.mark.parametrize("space", [None, 2])
def test_outputs_come_as_often_as_their_propensity_says(space: int | None) -> None:
    log_probs, count, explore = random_log_probs(5, 1, 3), 20_000, 0.4
    served = serve(np.repeat(log_probs, count, axis=0), np.full(count, 3), explore, rngs(count), space)
    times = Counter(tuple(one.labels) for one in served)
    propensity = {tuple(one.labels): one.propensity for one in served}
    assert len(times) > (4 if space is None else 2)
    assert sum(propensity.values()) == pytest.approx(1.0, abs=2e-3)
    for labels, probability in propensity.items():
        spread = np.sqrt(probability * (1 - probability) / count)
        assert times[labels] / count == pytest.approx(probability, abs=5 * spread + 1e-4)


@given(seed=seeds, explore=shares, name=st.text(max_size=5))
def test_the_propensity_is_the_exact_one_of_the_mixture(seed: int, explore: float, name: str) -> None:
    log_probs, lengths = random_log_probs(seed, 1, 4), np.array([4])
    everything = all_labels(4)
    exact = label_probabilities(np.repeat(log_probs, len(everything), axis=0), np.full(len(everything), 4), everything)
    (best,) = best_path(log_probs, lengths)
    mixture = {
        tuple(labels): (1 - explore) * (labels == best) + explore * probability
        for labels, probability in zip(everything, exact, strict=True)
    }
    assert sum(mixture.values()) == pytest.approx(1.0, abs=1e-5)
    (one,) = serve(log_probs, lengths, explore, rngs(1, name))
    assert one.propensity == pytest.approx(mixture[tuple(one.labels)], rel=1e-9, abs=1e-300)
    assert 0 < one.propensity <= 1


def test_with_a_space_labels_are_words() -> None:
    log_probs = random_log_probs(7, 1, 6)
    served = serve(np.repeat(log_probs, 50, axis=0), np.full(50, 6), 1.0, rngs(50), 2)
    assert len({tuple(one.labels) for one in served}) > 3
    assert all(one.labels == single_spaced(one.labels, 2) for one in served)


def test_parts_together_have_the_products_of_their_probabilities() -> None:
    assert joint_probabilities([ServedLabels([1], 0.5, 0.9), ServedLabels([2], 0.4, 0.5)]) == pytest.approx((0.2, 0.45))
    assert joint_probabilities([]) == (1.0, 1.0)
    assert joint_probabilities([ServedLabels([1], 0.0, 1e-300)] * 2)[1] > 0


@given(seed=seeds, frames=st.integers(0, 6))
def test_without_exploration_the_best_path_is_served_for_sure_and_nobody_is_chances(seed: int, frames: int) -> None:
    log_probs, lengths = random_log_probs(seed, 2, 6), np.full(2, frames)
    best = best_path(log_probs, lengths)
    sure = label_probabilities(log_probs, lengths, best).tolist()
    expected = [ServedLabels(labels, probability, 1.0) for labels, probability in zip(best, sure, strict=True)]
    assert serve(log_probs, lengths, 0.0, []) == expected


@given(seed=seeds, length=st.integers(0, 6))
def test_a_prediction_is_served_alike_alone_and_padded_in_a_batch(seed: int, length: int) -> None:
    log_probs, lengths = random_log_probs(seed, 3, 9), np.array([length, 9, 4])
    together = serve(log_probs, lengths, 1.0, rngs(3))
    alone = serve(log_probs[:1, :length], lengths[:1], 1.0, rngs(1))
    assert alone[0].labels == together[0].labels
    assert alone[0].propensity == pytest.approx(together[0].propensity)


def test_a_text_too_improbable_for_a_float_has_a_propensity_above_zero() -> None:
    uniform = np.full((1, 2000, 64), -np.log(64), np.float32)
    (one,) = serve(uniform, np.array([2000]), 1.0, rngs(1))
    assert 0 < one.propensity < 1e-300


@given(seed=seeds, explore=shares)
def test_propensities_of_all_labels_sum_to_1_and_are_those_of_serving(seed: int, explore: float) -> None:
    log_probs, everything = random_log_probs(seed, 1, 4), all_labels(4)
    count = len(everything)
    found = propensities(np.repeat(log_probs, count, axis=0), np.full(count, 4), everything, explore)
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    (one,) = serve(log_probs, np.array([4]), explore, rngs(1))
    assert found[everything.index(one.labels)] == pytest.approx(one.propensity, rel=1e-9, abs=1e-300)
