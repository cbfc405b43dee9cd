"""Fine-tuning a CTC network on feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.nn.conv_ctc import ConvCtc, Parameters
from models.nn.ctc_feedback import Feedback
from models.nn.ctc_fitting import Example, Plan, fit, mean_loss

MOST_REPEATS = 4
"""Feedback is repeated until it is as much as what is rehearsed, but not more often: few lines teach little."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_FORGOTTEN = 1.05
"""What the loss on rehearsed lines may grow by: as a factor of the parent's."""


@dataclass(frozen=True)
class Rehearsal:
    """Examples of what the network could do before, to be fitted beside the feedback, and to choose by.

    Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science, 1995.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


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


def fine_tune(
    network: ConvCtc,
    parent: Parameters,
    feedback: Feedback,
    rehearsal: Rehearsal,
    plan: Plan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Tuned:
    """Parameters between the parent's and those fitted to feedback and rehearsal together.

    How far to go (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022) is chosen on validation data:
    where the loss on feedback is the least, of all places where no more than `MOST_FORGOTTEN` is forgotten. Without
    feedback to choose by, it is the farthest of these.
    """
    repeats = min(MOST_REPEATS, max(1, round(len(rehearsal.train) / len(feedback.train))))
    examples = [*rehearsal.train, *feedback.train * repeats]
    fitted = fit(network, parent, examples, plan, on_step).parameters

    def trial(share: float) -> Trial:
        parameters = _between(parent, fitted, share)
        said = mean_loss(network, parameters, feedback.validation, plan) if feedback.validation else 0.0
        return Trial(share, said, mean_loss(network, parameters, rehearsal.validation, plan))

    trials = [trial(share) for share in SHARES]
    bound = MOST_FORGOTTEN * trials[0].rehearsal_loss
    best = min((one for one in trials if one.rehearsal_loss <= bound), key=lambda one: (one.feedback_loss, -one.share))
    return Tuned(_between(parent, fitted, best.share), best.share, trials)


def _between(parent: Parameters, fitted: Parameters, share: float) -> Parameters:
    """Exactly the parent's at 0."""
    return [
        (weights + share * (new_weights - weights), bias + share * (new_bias - bias))
        for (weights, bias), (new_weights, new_bias) in zip(parent, fitted, strict=True)
    ]
