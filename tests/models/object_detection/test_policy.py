"""The detector as a policy: choices come as often as their propensity says, and by default nothing is drawn."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.object_detection.candidates import MIN_SCORE, Candidates
from models.object_detection.policy import greedy, probabilities, serve

CLASSES = 3
seeds, shares = st.integers(0, 2**32), st.floats(0.01, 1.0)


def scene(seed: int, number: int) -> Candidates:
    scores = np.random.default_rng(seed).uniform(0.0, 1.0, (number, CLASSES))
    return Candidates(np.zeros((number, 4)), scores, np.arange(number))


def test_choices_come_as_often_as_their_propensity_says() -> None:
    found, count = scene(3, 2), 20_000
    served = [serve(found, 0.4, np.random.default_rng(number)) for number in range(count)]
    times = Counter(tuple(one.choices.tolist()) for one in served)
    propensities = {tuple(one.choices.tolist()): one.propensity for one in served}
    assert len(times) > 8
    assert sum(propensities.values()) == pytest.approx(1.0, abs=5e-3)
    for choices, propensity in propensities.items():
        spread = np.sqrt(propensity * (1 - propensity) / count)
        assert times[choices] / count == pytest.approx(propensity, abs=5 * spread + 1e-4)


@given(seed=seeds, number=st.integers(0, 3), explore=shares)
def test_the_propensity_is_the_exact_one_of_the_mixture(seed: int, number: int, explore: float) -> None:
    found = scene(seed, number)
    chances, best = probabilities(found), greedy(found)
    mixture = {
        choices: (1 - explore) * (choices == tuple(best.tolist()))
        + explore * float(np.prod([row[choice] for row, choice in zip(chances, choices, strict=True)]))
        for choices in product(range(CLASSES + 1), repeat=number)
    }
    assert sum(mixture.values()) == pytest.approx(1.0)
    served = serve(found, explore, np.random.default_rng(seed))
    assert served.propensity == pytest.approx(mixture[tuple(served.choices.tolist())])
    assert 0 < served.propensity <= 1


@given(seed=seeds, number=st.integers(0, 5))
def test_without_exploration_the_good_ones_are_said_for_sure(seed: int, number: int) -> None:
    found = scene(seed, number)
    served = serve(found, 0.0, None)
    assert served.propensity == 1.0
    for scores, choice in zip(found.scores, served.choices, strict=True):
        assert choice == (scores.argmax() if scores.max() >= MIN_SCORE else CLASSES)


@given(logits=st.lists(st.floats(-8, 8), min_size=CLASSES, max_size=CLASSES))
def test_a_candidate_is_one_of_its_classes_or_nothing_by_the_softmax_of_its_logits(logits: list[float]) -> None:
    scores = 1 / (1 + np.exp(-np.array([logits])))
    weights = np.exp([*logits, 0.0])
    (chances,) = probabilities(Candidates(np.zeros((1, 4)), scores, np.zeros(1, np.int64)))
    np.testing.assert_allclose(chances, weights / weights.sum(), rtol=1e-4, atol=1e-6)


def test_choices_too_improbable_for_a_float_have_a_propensity_above_zero() -> None:
    found = Candidates(np.zeros((50, 4)), np.full((50, 900), 1e-6), np.arange(50))
    never = scene(0, 50)
    sure = Candidates(never.boxes, np.full((50, CLASSES), 1e-9), never.cells)
    for one in (found, sure):
        assert 0 < serve(one, 1e-300, np.random.default_rng(0)).propensity <= 1


@given(seed=seeds)
def test_the_same_chance_gives_the_same(seed: int) -> None:
    first, again = (serve(scene(seed, 4), 0.7, np.random.default_rng(5)) for _ in range(2))
    assert first.choices.tolist() == again.choices.tolist()
