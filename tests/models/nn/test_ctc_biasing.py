"""What is read leans towards known symbols and words, and without either it is the most probable text."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from models.nn.ctc import label_probabilities
from models.nn.ctc_biasing import Lexicon, most_probable, with_prior

SPACE = 3


def frames(probabilities: list[list[float]]) -> tuple[Any, Any]:
    """All classes of each frame, and their log probabilities."""
    array = np.array(probabilities)
    return np.tile(np.arange(array.shape[1]), (len(array), 1)), np.log(array)


def drawn(seed: int, count: int = 4) -> tuple[Any, Any]:
    return frames(np.random.default_rng(seed).dirichlet(np.ones(4), count).tolist())


def texts(count: int) -> list[tuple[int, ...]]:
    return [text for length in range(count + 1) for text in product((1, 2, SPACE), repeat=length)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bonus", [0.0, 2.0])
def test_the_text_is_the_one_with_the_highest_probability_times_bonuses(seed: int, bonus: float) -> None:
    classes, log_probs = drawn(seed)
    lexicon = Lexicon({(1, 2), (2,)}, bonus, SPACE)

    def value(text: tuple[int, ...]) -> float:
        (probability,) = label_probabilities(log_probs[None], np.array([len(log_probs)]), [list(text)])
        return float(probability * np.exp(lexicon.gain(text, complete=True)))

    best = max(texts(4), key=value)
    assert most_probable(classes, log_probs, lexicon, beam=1000) == list(best)


def test_a_known_word_is_read_in_place_of_one_that_is_a_little_more_probable() -> None:
    classes, log_probs = frames([[0.1, 0.85, 0.04, 0.01], [0.1, 0.5, 0.4, 0.0 + 1e-9]])
    words = {(1, 2)}
    assert most_probable(classes, log_probs, Lexicon(words, 0.0, SPACE)) == [1]
    assert most_probable(classes, log_probs, Lexicon(words, 1.0, SPACE)) == [1, 2]


def test_each_known_word_between_spaces_counts_and_the_last_one_when_the_text_is_complete() -> None:
    lexicon = Lexicon({(1,), (2, 2)}, 0.5, SPACE)
    text = (1, SPACE, 1, 1, SPACE, 2, 2)
    assert lexicon.gain(text, complete=False) == 0.5
    assert lexicon.gain(text, complete=True) == 1.0


def test_a_prior_multiplies_symbols_by_their_odds_and_leaves_the_blank() -> None:
    classes, log_probs = frames([[0.2, 0.4, 0.3, 0.1]])
    biased = np.exp(with_prior(classes, log_probs, {2: 2.0}, default=0.5))
    np.testing.assert_allclose(biased, np.array([[0.2, 0.2, 0.6, 0.05]]) / 1.05)


def test_a_symbol_of_no_odds_is_never_read() -> None:
    classes, log_probs = drawn(1)
    biased = with_prior(classes, log_probs, {1: 1.0}, default=0.0)
    assert set(most_probable(classes, biased, Lexicon((), 0.0, SPACE))) <= {1}
