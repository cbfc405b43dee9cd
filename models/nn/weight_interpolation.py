"""Interpolate between a parent's and fine-tuned weights, as far as validation data shows that little is forgotten.

Interpolated weights keep what the parent could do and add what is new (WiSE-FT: Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.nn.convolution import Parameters

SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
"""The interpolation weights that are tried. From 0.75 to 1, a drifted source gained little, and most was forgotten."""
MAX_LOSS_INCREASE = 1.05
"""The largest loss on rehearsed data, as a multiple of the parent's."""


class Trial(NamedTuple):
    """An interpolation weight, from 0 (the parent) to 1 (fine-tuned), and the losses there."""

    share: float
    feedback_loss: float
    rehearsal_loss: float


@dataclass(frozen=True)
class TunedParameters:
    """The chosen parameters, their interpolation weight (0: the parent's), and all trials."""

    parameters: Parameters
    share: float
    trials: list[Trial]

    def card(self) -> dict[str, Any]:
        """Return the chosen weight and all trials, for a card."""
        tried = [{name: round(value, 5) for name, value in trial._asdict().items()} for trial in self.trials]
        return {"way gone from the parent": self.share, "tried": tried}


def chosen(trials: Sequence[Trial], most_forgotten: float = MAX_LOSS_INCREASE) -> Trial:
    """Choose the trial with the least loss on feedback, among those that forget no more than `most_forgotten`.

    The first trial is the parent's. Of equal trials, as without feedback for validation, the farthest is chosen.
    """
    return least_loss(trials, most_forgotten * trials[0].rehearsal_loss)


def least_loss(trials: Sequence[Trial], bound: float) -> Trial:
    """Choose the trial with the least loss on feedback, among those whose loss on rehearsed data is within a bound."""
    return min(
        (trial for trial in trials if trial.rehearsal_loss <= bound),
        key=lambda trial: (trial.feedback_loss, -trial.share),
    )


def interpolated(parent: Parameters, fitted: Parameters, share: float) -> Parameters:
    """Interpolate the weights; at 0 they are exactly the parent's."""
    return [
        (weights + share * (new_weights - weights), bias + share * (new_bias - bias))
        for (weights, bias), (new_weights, new_bias) in zip(parent, fitted, strict=True)
    ]
