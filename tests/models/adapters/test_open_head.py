"""The head of a few open classes scores as the whole layer does, and only these change."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from models.adapters.linear_layer import Floats, LinearLayer
from models.adapters.open_head import OpenHead, probable_classes
from models.nn.ctc import label_probabilities

RNG = np.random.default_rng(3)
LAYER = LinearLayer(RNG.standard_normal((4, 50), np.float32), RNG.standard_normal(50, np.float32))
LINES = [RNG.standard_normal((frames, 4), np.float32) for frames in (5, 1, 8)]
HEAD = OpenHead.of(LAYER, [7, 3, 20])


def log_probs(scores: Floats) -> Floats:
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True)))


def head_scores(head: OpenHead, line: Floats, added: float = 0.0) -> Any:
    parameters = [(weights + added, bias + added) for weights, bias in head.initial()]
    signal = jnp.asarray(head.signals([line])[0])[None]
    return np.asarray(head.logits(parameters, signal, jnp.array([len(line)])))[0]


def test_the_blank_is_open_and_comes_first() -> None:
    assert HEAD.classes.tolist() == [0, 3, 7, 20]
    assert HEAD.places == {0: 0, 3: 1, 7: 2, 20: 3}


@pytest.mark.parametrize("line", LINES, ids=len)
def test_open_classes_have_the_probabilities_of_the_whole_layer(line: Floats) -> None:
    whole, narrow = np.exp(log_probs(LAYER.scores(line))), np.exp(log_probs(head_scores(HEAD, line)))
    np.testing.assert_allclose(narrow[:, :-1], whole[:, HEAD.classes], rtol=1e-4)
    np.testing.assert_allclose(narrow[:, -1], 1 - whole[:, HEAD.classes].sum(axis=1), rtol=1e-4)


def test_the_probability_of_a_text_is_exact_after_learning_too() -> None:
    line, added = LINES[2], 0.3
    merged = HEAD.merged([(weights + added, bias + added) for weights, bias in HEAD.initial()])
    whole, narrow = log_probs(merged.scores(line)), log_probs(head_scores(HEAD, line, added))
    frames = np.array([len(line)])
    [expected] = label_probabilities(whole[None], frames, [[3, 20, 20]])
    [probability] = label_probabilities(narrow[None], frames, [[1, 3, 3]])
    assert probability == pytest.approx(expected, rel=1e-3)


def test_only_open_classes_change() -> None:
    merged = HEAD.merged([(weights + 1.0, bias + 2.0) for weights, bias in HEAD.initial()])
    closed = np.setdiff1d(np.arange(50), HEAD.classes)
    np.testing.assert_array_equal(merged.weights[:, closed], LAYER.weights[:, closed])
    np.testing.assert_array_equal(merged.bias[closed], LAYER.bias[closed])
    np.testing.assert_allclose(merged.weights[:, HEAD.classes], LAYER.weights[:, HEAD.classes] + 1, rtol=1e-6)
    np.testing.assert_allclose(merged.bias[HEAD.classes], LAYER.bias[HEAD.classes] + 2, rtol=1e-6)


def test_a_head_that_has_learned_nothing_is_the_layer() -> None:
    merged = HEAD.merged(HEAD.initial())
    np.testing.assert_array_equal(merged.weights, LAYER.weights)


def test_classes_are_probable_that_have_a_share_in_some_frame() -> None:
    sure = LinearLayer(np.eye(4, 50, dtype=np.float32) * 40, np.zeros(50, np.float32))
    lines = [np.array([[1, 0, 0, 0], [0, 0, 1, 0]], np.float32), np.array([[0, 0, 0, 1]], np.float32)]
    assert probable_classes(sure, lines) == {0, 2, 3}
    unsure = LinearLayer(sure.weights, np.where(np.arange(50) == 9, np.float32(38), np.float32(0)))
    assert probable_classes(unsure, lines) == {0, 2, 3, 9}


def test_of_no_lines_there_are_no_classes_and_no_signals() -> None:
    assert probable_classes(LAYER, []) == set()
    assert HEAD.signals([]) == []
