"""Learn the last layer of a frozen CTC network by feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adapters.distillation import Distillation
from models.adapters.linear_layer import Floats
from models.adapters.open_head import OpenHead
from models.nn.convolution import Parameters
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import CtcFeedback
from models.nn.ctc_fine_tuning import GUESSING_REPEATS, Guesser
from models.nn.ctc_fitting import fit_passes
from models.nn.spec_augment import masked
from models.nn.weight_interpolation import Trial, TunedParameters, interpolated, least_loss

PLAN = CtcFittingPlan(epochs=15, rate=3e-3, columns=1_600, buckets=(40, 64, 104, 200, 400), scale=1.0)
"""`epochs` are passes over the feedback; the columns of a signal are frames."""
SHARES = tuple(part / 10 for part in range(11))
"""The interpolation weights that are tried."""
MAX_DIVERGENCE = 0.002
"""In nats a frame, from what the frozen head said of rehearsed lines: a bound on what is forgotten."""


@dataclass(frozen=True)
class RehearsedSignals:
    """Signals of lines that the network shall go on reading as it does: to distil on, and to choose by."""

    train: Sequence[Floats]
    validation: Sequence[Floats]


def adapt(
    head: OpenHead,
    feedback: CtcFeedback,
    rehearsal: RehearsedSignals,
    plan: CtcFittingPlan,
    space: int,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> TunedParameters:
    """Return what is added to the head: fitted to the feedback beside distillation on rehearsed lines.

    Texts of rewarded and compared lines are guessed anew before each pass. How far to go is chosen on validation data,
    see `models.nn.weight_interpolation`.
    """
    guesser, parent = Guesser(head, plan, space, _distorted), head.initial()
    plain, observed = guesser.divided(feedback.train, readable := guesser.can_read(feedback.train.rewarded, parent))
    validation = guesser.divided(feedback.validation, readable)
    kept = Distillation.of(head, rehearsal.validation)

    def draw(number: int, parameters: Parameters) -> list[Example]:
        return [*plain, *guesser.examples(observed, parameters, number)]

    penalty = Distillation.of(head, rehearsal.train)
    passes = plan.epochs * (GUESSING_REPEATS if observed else 1)
    fitted = fit_passes(head, parent, draw, passes, plan, on_step, penalty).parameters

    def trial(share: float) -> Trial:
        parameters = interpolated(parent, fitted, share)
        return Trial(share, guesser.mean_loss(*validation, parameters), kept.divergence(parameters))

    trials = [trial(share) for share in SHARES]
    best = least_loss(trials, MAX_DIVERGENCE)
    return TunedParameters(interpolated(parent, fitted, best.share), best.share, trials)


def _distorted(signal: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return a signal with bands of its features set to zero; the rest's score stays."""
    return np.vstack((masked(signal[:-1], rng), signal[-1:]))
