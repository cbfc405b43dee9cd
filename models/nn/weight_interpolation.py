"""How far to go from a parent to what was fitted: chosen on validation data, so that nothing is forgotten.

Between the two lie parameters that do both what the parent did and what is new (Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.nn.convolution import Parameters

SHARES = (0.0, 0.25, 0.5, 0.75)
"""What is tried. The last quarter of the way brought a drifted source of speech little more, and forgot the most."""
MOST_FORGOTTEN = 1.05
"""What the loss on rehearsed data may grow by: as a factor of the parent's."""


class Trial(NamedTuple):
    """How far to go from the parent, 0, to what was fitted, 1; the losses there. No feedback to choose by has none."""

    share: float
    feedback_loss: float
    rehearsal_loss: float


@dataclass(frozen=True)
class Tuned:
    """The parameters that were chosen, their share (0: they are the parent's), and all that were tried."""

    parameters: Parameters
    share: float
    trials: list[Trial]

    def card(self) -> dict[str, Any]:
        """How far it went, and what was tried."""
        tried = [{name: round(value, 5) for name, value in trial._asdict().items()} for trial in self.trials]
        return {"way gone from the parent": self.share, "tried": tried}


def chosen(trials: Sequence[Trial], most_forgotten: float = MOST_FORGOTTEN) -> Trial:
    """The least loss on feedback, of all places where no more than `most_forgotten` is forgotten.

    The first trial is the parent's. Of equal ones, such as all without feedback to choose by, it is the farthest.
    """
    bound = most_forgotten * trials[0].rehearsal_loss
    return min((one for one in trials if one.rehearsal_loss <= bound), key=lambda one: (one.feedback_loss, -one.share))


def between(parent: Parameters, fitted: Parameters, share: float) -> Parameters:
    """Exactly the parent's at 0."""
    return [
        (weights + share * (new_weights - weights), bias + share * (new_bias - bias))
        for (weights, bias), (new_weights, new_bias) in zip(parent, fitted, strict=True)
    ]
