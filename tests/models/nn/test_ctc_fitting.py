"""Fitting: it learns, it repeats itself exactly, its batches hold each example once."""

from dataclasses import replace

import numpy as np

from models.nn.conv_ctc import ConvCtc
from models.nn.ctc_fitting import Example, Plan, batches, fit

NETWORK = ConvCtc(height=8, classes=4, stem=(4, 8), channels=16, dilations=(1,))
PLAN = Plan(epochs=6, rate=5e-3, columns=256, buckets=(24,), scale=1.0, seed=4)


def bars(count: int, seed: int) -> list[Example]:
    """Signals of one to three bars, four columns apart; a bar's height is its label."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for _ in range(count):
        labels = rng.integers(1, 4, size=int(rng.integers(1, 4))).tolist()
        signal = np.zeros((8, 6 * len(labels) + 4), np.float32)
        for place, label in enumerate(labels):
            signal[: 2 * label + 1, 6 * place + 3 : 6 * place + 6] = 1.0
        examples.append((signal, labels))
    return examples


def test_the_loss_falls_and_each_step_is_reported() -> None:
    steps: list[tuple[int, int, float]] = []
    fitted = fit(NETWORK, NETWORK.initial(0), bars(300, 1), PLAN, lambda *step: steps.append(step))
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
    assert sorted(found) == sorted((signal.tobytes(), tuple(labels)) for signal, labels in examples)
