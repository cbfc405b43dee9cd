"""Fine-tuning: better by what was said, no worse on what is rehearsed, and the parent where nothing is better."""

from dataclasses import replace

import numpy as np
import pytest

from models.nn.conv_ctc import ConvCtc, Parameters
from models.nn.ctc_feedback import Feedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.nn.ctc_fitting import Example, Plan, fit, mean_loss

NETWORK = ConvCtc(height=8, classes=4, stem=(4, 8), channels=16, dilations=(1,))
PLAN = Plan(epochs=3, rate=3e-3, columns=256, buckets=(24,), scale=1.0, seed=4)


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


REHEARSAL = Rehearsal(bars(40, 2), bars(20, 3))


@pytest.fixture(scope="module")
def parent() -> Parameters:
    return fit(NETWORK, NETWORK.initial(0), bars(300, 1), replace(PLAN, epochs=6, rate=5e-3)).parameters


def said(train: list[Example], validation: list[Example]) -> Feedback:
    return Feedback(train, validation, [], 0.0)


def test_a_drifted_source_is_learned_and_the_old_one_kept(parent: Parameters) -> None:
    faint = bars(60, 5, 0.25)
    tuned = fine_tune(NETWORK, parent, said(faint, bars(20, 6, 0.25)), REHEARSAL, PLAN)
    assert tuned.epoch > 0
    fresh, old = bars(40, 7, 0.25), bars(40, 8)
    before = mean_loss(NETWORK, parent, fresh, PLAN)
    assert mean_loss(NETWORK, tuned.parameters, fresh, PLAN) < 0.5 * before
    assert mean_loss(NETWORK, tuned.parameters, old, PLAN) < mean_loss(NETWORK, parent, old, PLAN) + 0.02


def test_the_chosen_pass_is_the_best_of_all_on_validation_data(parent: Parameters) -> None:
    tuned = fine_tune(NETWORK, parent, said(bars(60, 5, 0.25), bars(20, 6, 0.25)), REHEARSAL, PLAN)
    assert len(tuned.losses) == PLAN.epochs + 1
    assert tuned.losses[tuned.epoch] == min(tuned.losses)


def test_the_parent_is_kept_where_no_pass_is_better(parent: Parameters) -> None:
    wrong = [example._replace(labels=[label % 3 + 1 for label in example.labels]) for example in bars(40, 5)]
    tuned = fine_tune(NETWORK, parent, said(wrong, bars(20, 6)), REHEARSAL, PLAN)
    assert tuned.epoch == 0
    assert tuned.parameters is parent


def test_without_feedback_to_choose_by_the_last_pass_is_taken(parent: Parameters) -> None:
    tuned = fine_tune(NETWORK, parent, said(bars(8, 5, 0.25), []), REHEARSAL, PLAN)
    assert (tuned.epoch, tuned.losses) == (PLAN.epochs, [])


def test_the_same_arguments_give_the_same_parameters(parent: Parameters) -> None:
    first, again = (
        fine_tune(NETWORK, parent, said(bars(8, 5, 0.25), bars(4, 6)), REHEARSAL, PLAN).parameters for _ in range(2)
    )
    for (weights, bias), (weights_again, bias_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(weights, weights_again)
        np.testing.assert_array_equal(bias, bias_again)
