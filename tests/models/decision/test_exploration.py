"""Probabilities that are exactly those of the draw."""

from collections import Counter
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import chisquare

from models.decision.exploration import FLOOR_SHARE, PARTS, Exploration, Kind, draw


def scores(limit: float, sizes: st.SearchStrategy[int]) -> st.SearchStrategy[NDArray[np.float32]]:
    return arrays(np.float32, sizes, elements=st.floats(-limit, limit, width=32))


explorations = st.builds(
    Exploration,
    kind=st.sampled_from(get_args(Kind)),
    temperature=st.floats(0.01, 100),
    epsilon=st.floats(0, 1),
    floor=st.floats(0, 0.999),
)


@given(explorations, scores(1e6, st.integers(1, 1000)))
def test_probabilities_sum_to_1_exactly_and_none_is_below_the_floor(
    exploration: Exploration, logits: NDArray[np.float32]
) -> None:
    parts = exploration.parts(logits)
    assert int(parts.sum()) == PARTS
    assert float((parts / PARTS).sum()) == 1.0
    assert parts.min() / PARTS >= min(exploration.floor, FLOOR_SHARE / len(logits))


@given(explorations, arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 50)), elements=st.integers(-3, 3)))
def test_many_heads_have_exact_probabilities_as_well(exploration: Exploration, logits: NDArray[np.float32]) -> None:
    parts = exploration.parts(logits)
    assert int(parts.sum()) == PARTS
    assert parts.min() >= exploration.least(logits.shape[1])


@given(scores(50, st.integers(2, 50)), st.floats(0.1, 10))
def test_softmax_with_no_floor_is_the_softmax(logits: NDArray[np.float32], temperature: float) -> None:
    wanted = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    parts = Exploration(temperature=temperature, floor=0.0).parts(logits)
    np.testing.assert_allclose(parts / PARTS, wanted / wanted.sum(), atol=len(logits) / PARTS)


@given(st.integers(2, 20), st.floats(0, 1), st.integers(0, 19))
def test_epsilon_greedy_takes_the_best_but_for_epsilon(count: int, epsilon: float, best: int) -> None:
    best %= count
    logits = np.zeros(count, np.float32)
    logits[best] = 1.0
    probabilities = Exploration("epsilon-greedy", epsilon=epsilon, floor=0.0).parts(logits) / PARTS
    assert probabilities[best] == pytest.approx(1 - epsilon + epsilon / count, abs=count / PARTS)
    others = np.delete(probabilities, best)
    np.testing.assert_allclose(others, epsilon / count, atol=1 / PARTS)


def test_epsilon_greedy_is_fair_to_those_that_are_equally_good() -> None:
    probabilities = Exploration("epsilon-greedy", epsilon=0.0, floor=0.0).parts(np.array([2, 1, 2], np.float32)) / PARTS
    np.testing.assert_allclose(probabilities, [0.5, 0.0, 0.5])


@given(scores(1e4, st.integers(2, 20)))
def test_squarecb_weighs_by_the_inverse_of_the_gap(logits: NDArray[np.float32]) -> None:
    probabilities = Exploration("squarecb", floor=0.0).parts(logits) / PARTS
    best, gaps = int(logits.argmax()), float(logits.max()) - logits.astype(np.float64)
    others = np.arange(len(logits)) != best
    np.testing.assert_allclose(probabilities[others], 1 / (len(logits) + gaps[others]), atol=1 / PARTS)


def test_a_bootstrap_chooses_as_its_heads_vote() -> None:
    votes = np.array([[3, 1, 0], [3, 2, 0], [0, 5, 0], [1, 1, 0]], np.float32)  # the last head can't tell a from b
    probabilities = Exploration("bootstrap", floor=0.0).parts(votes) / PARTS
    np.testing.assert_allclose(probabilities, [2.5 / 4, 1.5 / 4, 0], atol=1e-9)


def test_the_other_kinds_take_the_mean_of_the_heads() -> None:
    heads = np.array([[1, 0, 4], [3, 2, -6]], np.float32)
    for kind in ("softmax", "epsilon-greedy", "squarecb"):
        np.testing.assert_array_equal(Exploration(kind).parts(heads), Exploration(kind).parts(heads.mean(0)))


def test_a_colder_softmax_explores_less() -> None:
    logits = np.array([1.0, 0.0], np.float32)
    warm, cold = (Exploration(temperature=one, floor=0.0).parts(logits)[0] for one in (1.0, 0.1))
    assert cold > warm


def test_a_floor_for_many_actions_leaves_half_to_the_policy() -> None:
    logits = np.zeros(1000, np.float32)
    logits[7] = 50.0
    probabilities = Exploration(floor=0.1).parts(logits) / PARTS
    assert probabilities[7] == pytest.approx(0.5, abs=0.001)
    assert probabilities[8] == pytest.approx(0.0005, abs=1e-8)


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=50).filter(any), st.integers(0, 2**32 - 1))
def test_an_action_without_probability_is_never_drawn(counts: list[int], seed: int) -> None:
    parts = np.array(counts, np.int64)
    parts[int(parts.argmax())] += PARTS - int(parts.sum())
    assert parts[draw(parts, np.random.default_rng(seed))] > 0


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration(floor=0.02),
        Exploration("epsilon-greedy", epsilon=0.3),
        Exploration("squarecb"),
        Exploration("bootstrap", floor=0.05),
    ],
)
def test_actions_are_drawn_as_often_as_their_probability_says(exploration: Exploration) -> None:
    parts = exploration.parts(np.array([0.5, -1.0, 2.0, 0.0, -3.0], np.float32))
    rng, count = np.random.default_rng(0), 50_000
    drawn = Counter(draw(parts, rng) for _ in range(count))
    found = [drawn[place] for place in range(len(parts))]
    assert chisquare(found, parts / PARTS * count).pvalue > 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "greedy"},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"epsilon": 1.1},
        {"epsilon": -0.1},
        {"floor": 1.0},
        {"floor": -0.1},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is needed"):
        Exploration(**options)
