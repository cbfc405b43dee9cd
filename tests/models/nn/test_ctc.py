"""CTC decoding against brute force over all paths."""

from itertools import groupby, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.nn.ctc import best_path, label_probabilities, sampled_path, sampled_paths, single_spaced

CLASSES = 4


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label)


def random_log_probs(seed: int, batch: int, frames: int, sharpness: float = 2.0) -> NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(size=(batch, frames, CLASSES)) * sharpness
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=2, keepdims=True)), np.float32)


@given(seed=st.integers(0, 2**32), frames=st.integers(0, 5), labels=st.lists(st.integers(1, 3), max_size=4))
def test_the_probability_of_labels_is_the_sum_over_all_paths_that_collapse_to_them(
    seed: int, frames: int, labels: list[int]
) -> None:
    log_probs = random_log_probs(seed, 1, 5)
    expected = sum(
        np.exp(sum(float(log_probs[0, frame, label]) for frame, label in enumerate(path)))
        for path in product(range(CLASSES), repeat=frames)
        if collapse(path) == tuple(labels)
    )
    found = label_probabilities(log_probs, np.array([frames]), [labels])
    assert np.isclose(found[0], expected, rtol=1e-5, atol=1e-12)


@given(seed=st.integers(0, 2**32), frames=st.integers(0, 5), labels=st.lists(st.integers(1, 3), max_size=4))
def test_the_probability_of_words_is_the_sum_over_all_paths_that_say_them_however_spaced(
    seed: int, frames: int, labels: list[int]
) -> None:
    log_probs, space = random_log_probs(seed, 1, 5), 3
    said = single_spaced(labels, space)
    expected = sum(
        np.exp(sum(float(log_probs[0, frame, label]) for frame, label in enumerate(path)))
        for path in product(range(CLASSES), repeat=frames)
        if single_spaced(list(collapse(path)), space) == said
    )
    found = label_probabilities(log_probs, np.array([frames]), [said], space)
    assert np.isclose(found[0], expected, rtol=1e-5, atol=1e-12)


@given(st.text("ab ", max_size=9))
def test_single_spaced_labels_are_the_words_with_one_space_between(text: str) -> None:
    numbers = {"a": 1, "b": 2, " ": 3}
    expected = [numbers[symbol] for symbol in " ".join(text.split())]
    assert single_spaced([numbers[symbol] for symbol in text], 3) == expected


@given(seed=st.integers(0, 2**32), lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_a_line_is_read_alike_alone_and_in_a_batch(seed: int, lengths: list[int]) -> None:
    log_probs = random_log_probs(seed, len(lengths), 9)
    together = best_path(log_probs, np.array(lengths))
    sure = label_probabilities(log_probs, np.array(lengths), together)
    for row, length in enumerate(lengths):
        alone = best_path(log_probs[row : row + 1, :length], np.array([length]))
        assert alone == [together[row]]
        assert np.isclose(label_probabilities(log_probs[row : row + 1, :length], np.array([length]), alone), sure[row])
    words = [single_spaced(line, 3) for line in together]
    sure = label_probabilities(log_probs, np.array(lengths), words, 3)
    for row, length in enumerate(lengths):
        alone_sure = label_probabilities(log_probs[row : row + 1, :length], np.array([length]), [words[row]], 3)
        assert np.isclose(alone_sure, sure[row])


@given(seed=st.integers(0, 2**32), frames=st.integers(1, 12))
def test_the_best_path_is_the_most_probable_class_of_each_frame_collapsed(seed: int, frames: int) -> None:
    log_probs = random_log_probs(seed, 3, frames)
    expected = [list(collapse(tuple(line.argmax(axis=1)))) for line in log_probs]
    assert best_path(log_probs, np.full(3, frames)) == expected


def test_probabilities_are_never_above_one() -> None:
    certain = np.full((1, 50, CLASSES), -1e9, np.float32)
    certain[..., 0] = 0.0
    assert label_probabilities(certain, np.array([50]), [[]]).tolist() == [1.0]


def test_a_batch_of_no_lines_has_no_labels() -> None:
    nothing = np.zeros((0, 5, CLASSES), np.float32)
    assert best_path(nothing, np.zeros(0, np.int32)) == []
    assert label_probabilities(nothing, np.zeros(0, np.int32), []).shape == (0,)


@given(seed=st.integers(0, 2**32), frames=st.integers(0, 9))
def test_one_of_many_sampled_paths_is_the_sampled_path(seed: int, frames: int) -> None:
    log_probs = random_log_probs(seed, 1, 9)[0, :frames]
    alone = sampled_path(log_probs, frames, np.random.default_rng(seed))
    assert sampled_paths(log_probs, 1, np.random.default_rng(seed)) == [alone]


def test_labels_are_drawn_as_often_as_they_are_probable() -> None:
    log_probs = random_log_probs(3, 1, 5)
    drawn = sampled_paths(log_probs[0], 20_000, np.random.default_rng(0))
    for labels in ([], [1], [2, 1], [3, 2]):
        (probability,) = label_probabilities(log_probs, np.array([5]), [labels])
        assert abs(drawn.count(labels) / 20_000 - probability) < 0.01
