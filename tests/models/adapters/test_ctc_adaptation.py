"""A frozen network learns a source that it reads badly, and goes on reading as it did what is rehearsed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from models.adapters.ctc_adaptation import MAX_DIVERGENCE, PLAN, RehearsedSignals, adapt
from models.adapters.distillation import Distillation
from models.adapters.linear_layer import Floats, LinearLayer
from models.adapters.open_head import OpenHead
from models.nn.ctc import best_path
from models.nn.ctc_batches import Example
from models.nn.ctc_feedback import CtcFeedback, SplitFeedback
from models.nn.ctc_posterior import ObservedLine
from models.nn.weight_interpolation import TunedParameters

WIDTH, CLASSES = 8, 40
LAYER = LinearLayer(6 * np.eye(WIDTH, CLASSES, dtype=np.float32), np.zeros(CLASSES, np.float32))
"""Feature k is the strength of class k; the blank is class 0."""
TEST_PLAN = replace(PLAN, epochs=12, rate=5e-2, columns=160, buckets=(16,))
TAKEN_FOR = {1: 2, 3: 4}
"""Symbols that the new source writes almost like others."""


def lines(count: int, seed: int, drifted: bool = False) -> tuple[list[Floats], list[list[int]]]:
    """Features of lines of two to four symbols, each followed by a blank, and their labels."""
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for _ in range(count):
        text = rng.integers(1, 6, int(rng.integers(2, 5))).tolist()
        frames = np.zeros((2 * len(text), WIDTH), np.float32)
        for place, label in enumerate(text):
            frames[2 * place, label], frames[2 * place + 1, 0] = 1.0, 1.0
            if drifted and label in TAKEN_FOR:
                frames[2 * place, TAKEN_FOR[label]], frames[2 * place, 7] = 1.2, 1.0
        features.append(frames + np.asarray(rng.normal(0, 0.05, frames.shape), np.float32))
        labels.append(text)
    return features, labels


HEAD = OpenHead.of(LAYER, range(1, 6))


def examples(count: int, seed: int) -> list[Example]:
    features, labels = lines(count, seed, drifted=True)
    return [Example(signal, text) for signal, text in zip(HEAD.signals(features), labels, strict=True)]


def errors(layer: LinearLayer, features: list[Floats], labels: list[list[int]]) -> int:
    read = [best_path(layer.scores(line)[None], np.array([len(line)]))[0] for line in features]
    return sum(text != truth for text, truth in zip(read, labels, strict=True))


REHEARSAL = RehearsedSignals(HEAD.signals(lines(40, 5)[0]), HEAD.signals(lines(20, 6)[0]))


def tune(feedback: CtcFeedback, seed: int = 0) -> TunedParameters:
    return adapt(HEAD, feedback, REHEARSAL, replace(TEST_PLAN, seed=seed), space=5)


@pytest.fixture(scope="module")
def corrected() -> TunedParameters:
    return tune(CtcFeedback(SplitFeedback(examples(40, 1)), SplitFeedback(examples(10, 2)), 0.0))


def test_what_is_corrected_is_learned_and_what_is_rehearsed_is_kept(corrected: TunedParameters) -> None:
    drifted, before = lines(60, 3, drifted=True), lines(60, 4)
    learned = HEAD.merged(corrected.parameters)
    assert errors(LAYER, *drifted) > 30
    assert errors(learned, *drifted) < 3
    assert errors(learned, *before) == errors(LAYER, *before) == 0


def test_it_goes_as_far_as_rehearsed_lines_bear(corrected: TunedParameters) -> None:
    [best] = [trial for trial in corrected.trials if trial.share == corrected.share]
    allowed = [trial for trial in corrected.trials if trial.rehearsal_loss <= MAX_DIVERGENCE]
    assert best.feedback_loss == min(trial.feedback_loss for trial in allowed)
    kept = Distillation.of(HEAD, REHEARSAL.validation)
    assert kept.divergence(corrected.parameters) == pytest.approx(best.rehearsal_loss)


def test_the_same_seed_gives_the_same_head(corrected: TunedParameters) -> None:
    again = tune(CtcFeedback(SplitFeedback(examples(40, 1)), SplitFeedback(examples(10, 2)), 0.0))
    for first, second in zip(again.parameters[0], corrected.parameters[0], strict=True):
        np.testing.assert_array_equal(first, second)


def test_wrong_corrections_that_validation_contradicts_leave_the_head_as_it_was() -> None:
    wrong = [example._replace(labels=[label % 5 + 1 for label in example.labels]) for example in examples(20, 1)]
    assert tune(CtcFeedback(SplitFeedback(wrong), SplitFeedback(examples(10, 2)), 0.0)).share == 0


def test_rewards_teach_without_a_true_text() -> None:
    def scored(example: Example) -> ObservedLine:
        served = [TAKEN_FOR.get(label, label) for label in example.labels]
        wrong = Levenshtein.distance(served, example.labels)
        observed = example._replace(labels=served, weight=0.5 - wrong)
        return ObservedLine(
            observed, lambda labels: Levenshtein.distance(served, labels) == wrong, None if wrong else served
        )

    train, validation = ([scored(line) for line in examples(20, seed)] for seed in (1, 2))
    tuned = tune(CtcFeedback(SplitFeedback([], train), SplitFeedback([], validation), 0.0))
    assert tuned.share > 0
    drifted = lines(60, 3, drifted=True)
    assert errors(HEAD.merged(tuned.parameters), *drifted) < errors(LAYER, *drifted)


def test_a_head_that_is_as_it_was_diverges_from_itself_by_nothing() -> None:
    distillation = Distillation.of(HEAD, REHEARSAL.train)
    drawn = [jnp.asarray(array) for array in distillation.draw(np.random.default_rng(0))]
    assert float(distillation.loss(HEAD.initial(), *drawn)) == pytest.approx(0, abs=1e-5)
    moved = [(weights + 0.1, bias) for weights, bias in HEAD.initial()]
    moved[0] = (moved[0][0].at[:, 2].add(1.0), moved[0][1])
    assert float(distillation.loss(moved, *drawn)) > 0.01
    assert distillation.divergence(moved) > 0.002
