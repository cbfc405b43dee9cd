"""Interpolate between a parent's and fine-tuned weights, as far as validation data shows that little is forgotten.

Interpolated weights keep what the parent could do and add what is new (WiSE-FT: Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.nn.convolution import Parameters

SHARES = (0.0, 0.25, 0.5, 0.75)
"""The shares of the way that are tried. The last quarter gained little on a drifted source, and forgot the most."""
MAX_LOSS_INCREASE = 1.05
"""The largest loss on rehearsed data, as a multiple of the parent's."""


class Trial(NamedTuple):
    """How far to go from the parent, 0, to what was fitted, 1; the losses there. No feedback to choose by has none."""

    share: float
    feedback_loss: float
    rehearsal_loss: float


@dataclass(frozen=True)
class TunedParameters:
    """The parameters that were chosen, their share (0: they are the parent's), and all that were tried."""

    parameters: Parameters
    share: float
    trials: list[Trial]

    def card(self) -> dict[str, Any]:
        """Return how far it went, and what was tried."""
        tried = [{name: round(value, 5) for name, value in trial._asdict().items()} for trial in self.trials]
        return {"way gone from the parent": self.share, "tried": tried}


def chosen(trials: Sequence[Trial], most_forgotten: float = MAX_LOSS_INCREASE) -> Trial:
    """Return the least loss on feedback, of all places where no more than `most_forgotten` is forgotten.

    The first trial is the parent's. Of equal ones, such as all without feedback to choose by, it is the farthest.
    """
    bound = most_forgotten * trials[0].rehearsal_loss
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
