"""Fine-tuning a CTC network on feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import Parameters
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import CtcFeedback
from models.nn.ctc_fitting import fit, mean_loss, with_leads
from models.nn.weight_interpolation import SHARES, Trial, TunedParameters, chosen, interpolated

MAX_REPEATS = 4
"""Feedback is repeated up to the amount of rehearsed data, but not more often: few lines teach little."""


@dataclass(frozen=True)
class Rehearsal:
    """Examples of what the network could do before, fitted beside the feedback, and for choosing.

    Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science, 1995.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


def fine_tune(
    network: ConvCtc,
    parent: Parameters,
    feedback: CtcFeedback,
    rehearsal: Rehearsal,
    plan: CtcFittingPlan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> TunedParameters:
    """Return parameters between the parent's and those fitted to feedback and rehearsal together.

    How far to go is chosen on validation data, see `models.nn.weight_interpolation`.
    """
    train, validation = (with_leads(network, parent, part, plan) for part in (feedback.train, feedback.validation))
    repeats = min(MAX_REPEATS, max(1, round(len(rehearsal.train) / len(train))))
    examples = [*rehearsal.train, *train * repeats]
    fitted = fit(network, parent, examples, plan, on_step).parameters

    def trial(share: float) -> Trial:
        parameters = interpolated(parent, fitted, share)
        feedback_loss = mean_loss(network, parameters, validation, plan) if validation else 0.0
        return Trial(share, feedback_loss, mean_loss(network, parameters, rehearsal.validation, plan))

    trials = [trial(share) for share in SHARES]
    best = chosen(trials)
    return TunedParameters(interpolated(parent, fitted, best.share), best.share, trials)
