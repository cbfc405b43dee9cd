"""Fine-tuning a CTC network on feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.nn.conv_ctc import ConvCtc, Parameters
from models.nn.ctc_feedback import Feedback
from models.nn.ctc_fitting import Example, Plan, epochs, mean_loss

MOST_REPEATS = 8
"""Feedback is repeated until it is as much as what is rehearsed, but not more often: few lines teach little."""


@dataclass(frozen=True)
class Rehearsal:
    """Examples of what the network could do before (Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal",
    Connection Science 1995): to be fitted beside the feedback, and to choose by.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


@dataclass(frozen=True)
class Tuned:
    """The best parameters, the pass that they come from (0: the parent's), and the loss after each."""

    parameters: Parameters
    epoch: int
    losses: list[float]


def fine_tune(
    network: ConvCtc,
    parent: Parameters,
    feedback: Feedback,
    rehearsal: Rehearsal,
    plan: Plan,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Tuned:
    """The parameters with the least loss on validation data, after any pass or before all of them.

    That loss is the feedback's and the rehearsal's, half and half. Without feedback to choose by, the last pass's.
    """

    def loss(parameters: Parameters) -> float:
        return sum(mean_loss(network, parameters, part, plan) for part in (feedback.validation, rehearsal.validation))

    repeats = min(MOST_REPEATS, max(1, round(len(rehearsal.train) / len(feedback.train))))
    examples = [*rehearsal.train, *feedback.train * repeats]
    fitted = [parent]
    fitted += [one.parameters for one in epochs(network, parent, examples, plan, on_step)]
    if not feedback.validation:
        return Tuned(fitted[-1], plan.epochs, [])
    losses = [loss(parameters) for parameters in fitted]
    best = losses.index(min(losses))
    return Tuned(fitted[best], best, losses)
