"""Fitting: it learns, also what not to say; it repeats itself exactly; its batches hold each example once."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import FittedParameters, Parameters
from models.nn.ctc import label_probabilities
from models.nn.ctc_batches import CtcFittingPlan, Example, batches
from models.nn.ctc_fitting import fit, log_probabilities, mean_loss

NETWORK = ConvCtc(height=8, classes=4, stem=(4, 8), channels=16, dilations=(1,))
PLAN = CtcFittingPlan(epochs=6, rate=5e-3, decay=0.0, columns=256, buckets=(24,), scale=1.0, seed=4)
LOGITS = jax.jit(NETWORK.logits)


def bars(count: int, seed: int) -> list[Example]:
    """Signals of one to three bars, four columns apart; a bar's height is its label."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for _ in range(count):
        labels = rng.integers(1, 4, size=int(rng.integers(1, 4))).tolist()
        signal = np.zeros((8, 6 * len(labels) + 4), np.float32)
        for place, label in enumerate(labels):
            signal[: 2 * label + 1, 6 * place + 3 : 6 * place + 6] = 1.0
        examples.append(Example(signal, labels))
    return examples


Steps = list[tuple[int, int, float]]


@pytest.fixture(scope="module")
def fitted_and_steps() -> tuple[FittedParameters, Steps]:
    steps: Steps = []
    return fit(NETWORK, NETWORK.initial(0), bars(300, 1), PLAN, lambda *step: steps.append(step)), steps


@pytest.fixture(scope="module")
def trained(fitted_and_steps: tuple[FittedParameters, Steps]) -> Parameters:
    return fitted_and_steps[0].parameters


def test_the_loss_falls_and_each_step_is_reported(fitted_and_steps: tuple[FittedParameters, Steps]) -> None:
    fitted, steps = fitted_and_steps
    assert [step for step, _, _ in steps] == list(range(1, len(fitted.losses) + 1))
    assert {total for _, total, _ in steps} == {len(fitted.losses)}
    assert np.mean(fitted.losses[-5:]) < 0.5 * np.mean(fitted.losses[:5])


def test_the_same_seed_gives_the_same_parameters() -> None:
    short = replace(PLAN, epochs=1)
    first, again = (fit(NETWORK, NETWORK.initial(0), bars(40, 1), short) for _ in range(2))
    assert first.losses == again.losses
    for (weights, bias), (weights_again, bias_again) in zip(first.parameters, again.parameters, strict=True):
        np.testing.assert_array_equal(weights, weights_again)
        np.testing.assert_array_equal(bias, bias_again)


def test_batches_hold_each_example_once_zero_padded() -> None:
    examples = bars(50, 2)
    found = []
    plan = replace(PLAN, buckets=(12, 18, 24))
    for batch in batches(examples, plan, np.random.default_rng(0)):
        assert batch.signals.shape[2] in plan.buckets
        for signal, width, labels in zip(batch.signals, batch.widths, batch.labels, strict=True):
            assert not signal[:, width:].any()
            if width:
                found.append((signal[:, :width].tobytes(), tuple(labels[labels > 0].tolist())))
    assert sorted(found) == sorted((one.signal.tobytes(), tuple(one.labels)) for one in examples)


GENTLE = replace(PLAN, epochs=3, rate=1e-3)


def probability(parameters: Parameters, example: Example, labels: list[int]) -> float:
    width = example.signal.shape[1]
    logits = LOGITS(parameters, jnp.asarray(example.signal[None]), jnp.array([width]))
    found = label_probabilities(np.asarray(jax.nn.log_softmax(logits)), np.array([logits.shape[1]]), [labels])
    return float(found[0])


@pytest.mark.parametrize("right", [True, False])
def test_what_is_rewarded_becomes_more_probable_and_what_is_punished_less(trained: Parameters, right: bool) -> None:
    (example,) = bars(1, 7)
    labels = example.labels if right else [*example.labels[:-1], example.labels[-1] % 3 + 1]
    before = probability(trained, example, labels)
    changed = [
        probability(
            fit(NETWORK, trained, [Example(example.signal, labels, weight)], GENTLE).parameters, example, labels
        )
        for weight in (1.0, -1.0)
    ]
    assert changed[0] > before > changed[1]


def test_what_is_improbable_already_is_not_punished_on_and_on(trained: Parameters) -> None:
    (example,) = bars(1, 7)
    absurd = Example(example.signal, [1, 2, 3, 1, 2], -1.0)
    assert probability(trained, example, absurd.labels) < 1e-4
    plan = replace(PLAN, epochs=1)
    assert abs(mean_loss(NETWORK, trained, [absurd], plan)) < 0.01
    changed = fit(NETWORK, trained, [absurd], replace(GENTLE, epochs=20)).parameters
    assert probability(changed, example, example.labels) > 0.5 * probability(trained, example, example.labels)


def test_log_probabilities_are_those_of_each_signal_alone(trained: Parameters) -> None:
    examples = bars(9, 7)
    found = dict(log_probabilities(NETWORK, trained, examples, PLAN))
    assert sorted(found) == list(range(9))
    for place, example in enumerate(examples):
        width = example.signal.shape[1]
        logits = LOGITS(trained, jnp.asarray(example.signal[None]), jnp.array([width]))
        np.testing.assert_allclose(found[place], jax.nn.log_softmax(logits)[0], atol=1e-4)


def test_an_example_of_no_weight_changes_nothing(trained: Parameters) -> None:
    (example,) = bars(1, 7)
    fitted = fit(NETWORK, trained, [example._replace(weight=0.0)], GENTLE).parameters
    for (weights, bias), (weights_then, bias_then) in zip(fitted, trained, strict=True):
        np.testing.assert_array_equal(weights, weights_then)
        np.testing.assert_array_equal(bias, bias_then)
