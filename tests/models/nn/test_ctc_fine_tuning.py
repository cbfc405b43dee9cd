"""Fine-tuning: better by what was said, no worse on what is rehearsed, and the parent where nothing is better."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import Parameters
from models.nn.ctc import sampled_paths
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import CtcFeedback, SplitFeedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.nn.ctc_fitting import fit, mean_loss
from models.nn.ctc_posterior import ObservedLine
from models.nn.weight_interpolation import MAX_LOSS_INCREASE, SHARES, TunedParameters

NETWORK = ConvCtc(height=8, classes=4, stem=(4, 8), channels=16, dilations=(1,))
PLAN = CtcFittingPlan(epochs=3, rate=3e-3, decay=0.0, columns=256, buckets=(24,), scale=1.0, seed=4)


def bars(count: int, seed: int, ink: float = 1.0) -> list[Example]:
    """Signals of one to three bars; a bar's height is its label, and its `ink` how dark it is."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        labels = rng.integers(1, 4, size=int(rng.integers(1, 4))).tolist()
        signal = np.zeros((8, 6 * len(labels) + 4), np.float32)
        for place, label in enumerate(labels):
            signal[: 2 * label + 1, 6 * place + 3 : 6 * place + 6] = ink
        examples.append(Example(signal, labels))
    return examples


SPACE = 4
"""A symbol that is in no signal."""
REHEARSAL = Rehearsal(bars(40, 2), bars(20, 3))


@pytest.fixture(scope="module")
def parent() -> Parameters:
    return fit(NETWORK, NETWORK.initial(0), bars(300, 1), replace(PLAN, epochs=6, rate=5e-3)).parameters


def said(train: list[Example], validation: list[Example]) -> CtcFeedback:
    return CtcFeedback(SplitFeedback(train), SplitFeedback(validation), 0.0)


def observed(rewarded: list[ObservedLine], preferred: list[ObservedLine]) -> CtcFeedback:
    train, validation = (SplitFeedback([], rewarded[part], preferred[part]) for part in (slice(20, None), slice(20)))
    return CtcFeedback(train, validation, 0.0)


def tune(parent: Parameters, feedback: CtcFeedback) -> TunedParameters:
    return fine_tune(NETWORK, parent, feedback, REHEARSAL, PLAN, SPACE)


def faint(train: int = 60, validation: int = 20) -> CtcFeedback:
    return said(bars(train, 5, 0.25), bars(validation, 6, 0.25))


def test_a_drifted_source_is_learned_and_the_old_one_kept(parent: Parameters) -> None:
    tuned = tune(parent, faint())
    assert tuned.share > 0
    fresh, old = bars(40, 7, 0.25), bars(40, 8)
    before = mean_loss(NETWORK, parent, fresh, PLAN)
    assert mean_loss(NETWORK, tuned.parameters, fresh, PLAN) < 0.5 * before
    assert mean_loss(NETWORK, tuned.parameters, old, PLAN) < mean_loss(NETWORK, parent, old, PLAN) + 0.02


def test_what_is_chosen_is_best_for_the_feedback_of_all_that_forgets_little(parent: Parameters) -> None:
    tuned = tune(parent, faint())
    assert [trial.share for trial in tuned.trials] == list(SHARES)
    kept = [one for one in tuned.trials if one.rehearsal_loss <= MAX_LOSS_INCREASE * tuned.trials[0].rehearsal_loss]
    (chosen,) = [one for one in kept if one.share == tuned.share]
    assert chosen.feedback_loss == min(one.feedback_loss for one in kept)
    measured = mean_loss(NETWORK, tuned.parameters, REHEARSAL.validation, PLAN)
    assert measured == pytest.approx(chosen.rehearsal_loss)


def test_the_parent_is_kept_where_nothing_is_better(parent: Parameters) -> None:
    wrong = [example._replace(labels=[label % 3 + 1 for label in example.labels]) for example in bars(40, 5)]
    tuned = tune(parent, said(wrong, bars(20, 6)))
    assert tuned.share == 0
    assert_equal(tuned.parameters, parent)


def test_without_feedback_to_choose_by_it_goes_as_far_as_forgets_little(parent: Parameters) -> None:
    tuned = tune(parent, faint(8, 0))
    bound = MAX_LOSS_INCREASE * tuned.trials[0].rehearsal_loss
    assert tuned.share == max(one.share for one in tuned.trials if one.rehearsal_loss <= bound)


def score(labels: list[int], truth: list[int]) -> float:
    return max(0.0, 1 - Levenshtein.distance(labels, truth) / max(1, len(truth)))


def drawn(network: Parameters, line: Example, count: int, rng: np.random.Generator) -> list[list[int]]:
    width = line.signal.shape[1]
    logits = NETWORK.logits(network, jnp.asarray(line.signal[None]), jnp.array([width]))
    return sampled_paths(np.asarray(jax.nn.log_softmax(logits))[0], count, rng)


def rewards(network: Parameters, lines: list[Example], kind: str) -> list[ObservedLine]:
    """Draw an output of each line, and say how right it is, or whether."""
    rng = np.random.default_rng(9)
    served = [drawn(network, line, 1, rng)[0] for line in lines]
    return [_rewarded(line, labels, kind) for line, labels in zip(lines, served, strict=True)]


def _rewarded(line: Example, served: list[int], kind: str) -> ObservedLine:
    reward, right = score(served, line.labels), served == line.labels
    explains: dict[str, Callable[[list[int]], bool]] = {
        "scores": lambda text: abs(score(served, text) - reward) < 1e-9,
        "thumbs": lambda text: (text == served) == right,
    }
    example = line._replace(labels=served, weight=1.0 if right else -1.0)
    return ObservedLine(example, explains[kind], served if right else None)


def preferences(network: Parameters, lines: list[Example]) -> list[ObservedLine]:
    """Draw two outputs of each line; the one that is nearer to its labels is preferred, if they differ."""
    rng, preferred = np.random.default_rng(9), []
    for line in lines:
        pair = drawn(network, line, 2, rng)
        better, worse = sorted(pair, key=lambda labels: Levenshtein.distance(labels, line.labels))
        if score(better, line.labels) > score(worse, line.labels):
            explains = lambda text, better=better, worse=worse: score(better, text) > score(worse, text)  # noqa: E731
            preferred.append(ObservedLine(line._replace(labels=worse, weight=-1.0), explains))
    return preferred


@pytest.mark.parametrize("kind", ["scores", "thumbs", "preferences"])
def test_what_people_say_of_drawn_outputs_makes_a_drifted_source_better(parent: Parameters, kind: str) -> None:
    lines = bars(150, 5, 0.25)
    given = ([], preferences(parent, lines)) if kind == "preferences" else (rewards(parent, lines, kind), [])
    tuned = tune(parent, observed(*given))
    fresh, old = bars(40, 7, 0.25), bars(40, 8)
    before = mean_loss(NETWORK, parent, fresh, PLAN)
    assert mean_loss(NETWORK, tuned.parameters, fresh, PLAN) < 0.8 * before
    assert mean_loss(NETWORK, tuned.parameters, old, PLAN) < mean_loss(NETWORK, parent, old, PLAN) + 0.02


def test_rewards_that_no_text_explains_make_what_was_praised_more_probable_and_what_was_blamed_less(
    parent: Parameters,
) -> None:
    lines = bars(60, 5, 0.25)
    wrong = [[*one.labels[:-1], one.labels[-1] % 3 + 1] for one in lines[30:]]
    negative = [one._replace(labels=labels, weight=-1.0) for one, labels in zip(lines[30:], wrong, strict=True)]
    rewarded = [ObservedLine(one, lambda labels: False) for one in [*lines[:30], *negative]]
    tuned = tune(parent, CtcFeedback(SplitFeedback([], rewarded), SplitFeedback(bars(20, 6, 0.25)), 0.0))
    assert tuned.share > 0
    for part, better in ((lines[:30], True), ([one._replace(weight=1.0) for one in negative], False)):
        before, after = (mean_loss(NETWORK, parameters, part, PLAN) for parameters in (parent, tuned.parameters))
        assert (after < before) == better


def test_the_same_arguments_give_the_same_parameters(parent: Parameters) -> None:
    first, again = (tune(parent, faint(8, 4)).parameters for _ in range(2))
    assert_equal(first, again)


def assert_equal(first: Parameters, second: Parameters) -> None:
    for (weights, bias), (other_weights, other_bias) in zip(first, second, strict=True):
        np.testing.assert_array_equal(weights, other_weights)
        np.testing.assert_array_equal(bias, other_bias)
