"""Texts that explain feedback are guessed as often, and weigh as much, as a sum over all texts says."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from models.nn import ctc_posterior
from models.nn.ctc import label_probabilities
from models.nn.ctc_batches import Example
from models.nn.ctc_posterior import NOISE, Guess, ObservedLine, guess, guessed_examples, unexplained

SPACE, SYMBOLS, FRAMES, DRAWS = 3, (1, 2), 4, 5_000
SIGNAL = np.full((8, 2 * FRAMES), 9.0, np.float32)


def log_probabilities(seed: int) -> NDArray[np.float32]:
    logits = 1.5 * np.random.default_rng(seed).normal(size=(FRAMES, 4))
    logits[:, SPACE] = -20.0
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), np.float32)


def all_texts() -> list[list[int]]:
    return [list(text) for length in range(FRAMES + 1) for text in product(SYMBOLS, repeat=length)]


def probability(log_probs: NDArray[np.float32], labels: list[int]) -> float:
    return float(label_probabilities(log_probs[None], np.array([FRAMES]), [labels])[0])


def score(labels: list[int], truth: list[int]) -> float:
    return max(0.0, 1 - Levenshtein.distance(labels, truth) / max(1, len(truth)))


@pytest.fixture(autouse=True)
def many_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc_posterior, "DRAWS", DRAWS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reward", [0.0, 0.5, 1.0])
def test_the_likelihood_of_a_reward_is_the_sum_over_all_texts_that_explain_it(seed: int, reward: float) -> None:
    log_probs, served = log_probabilities(seed), [1, 2]
    line = ObservedLine(Example(SIGNAL, served), lambda labels: abs(score(served, labels) - reward) < 1e-9)
    explaining = {tuple(text): probability(log_probs, text) for text in all_texts() if line.explains(text)}
    guessed = guess(line, log_probs, SPACE, np.random.default_rng(0))
    assert guessed.likelihood == pytest.approx(sum(explaining.values()), abs=0.03)
    assert guessed.probability == pytest.approx(max(explaining.values()), abs=0.03)
    assert explaining[tuple(guessed.labels)] > max(explaining.values()) - 0.03


def test_a_text_weighs_its_probability_given_the_feedback_and_one_that_is_known_counts_whole() -> None:
    line = ObservedLine(Example(SIGNAL, [1], -0.3), lambda labels: True)
    known = line._replace(truth=[1, 2])
    given = [Guess([2], 0.2, 0.5), Guess([], 0.0, 0.0), Guess([1, 2], 0.1, 0.1)]
    examples = guessed_examples([line, line, known], given, np.random.default_rng(0))
    assert [(example.labels, example.weight) for example in examples] == [
        ([2], 0.2 / (0.5 + NOISE)),
        ([1], -0.3),
        ([1, 2], 1.0),
    ]
    assert all(example.signal.shape == SIGNAL.shape for example in examples)


def test_what_feedback_costs_is_the_share_of_texts_that_do_not_explain_it() -> None:
    certain, likely, impossible = Guess([1], 1.0, 1.0), Guess([1], 0.2, 0.75), Guess([], 0.0, 0.0)
    assert unexplained([certain, likely, impossible]) == 1.25
