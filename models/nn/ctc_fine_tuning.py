"""Fine-tuning a CTC network on feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.nn.convolution import Parameters
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import CtcFeedback, SplitFeedback
from models.nn.ctc_fitting import fit_passes, mean_loss
from models.nn.ctc_network import CtcNetwork
from models.nn.ctc_posterior import Distort, Guess, ObservedLine, guessed_examples, guesses, unexplained
from models.nn.spec_augment import masked
from models.nn.weight_interpolation import SHARES, Trial, TunedParameters, chosen, interpolated

MAX_REPEATS = 4
"""Feedback is repeated up to the amount of rehearsed data, but not more often: few lines teach little."""
GUESSING_REPEATS = 2
"""So many times more often where texts are guessed, because the guesses get better from pass to pass."""
MIN_EXPLAINED = 0.5
"""The least share of rewards that some text explains. It was 0.95 of scores, and 0.33 of random stars."""


@dataclass(frozen=True)
class Rehearsal:
    """Examples of what the network could do before, fitted beside the feedback, and for choosing.

    Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science, 1995.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


def fine_tune(
    network: CtcNetwork,
    parent: Parameters,
    feedback: CtcFeedback,
    rehearsal: Rehearsal,
    plan: CtcFittingPlan,
    space: int,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> TunedParameters:
    """Return parameters between the parent's and those fitted to feedback and rehearsal together.

    Each pass goes over the feedback once, with the texts of rewarded lines guessed anew, and over a part of the
    rehearsed data. How far to go is chosen on validation data, see `models.nn.weight_interpolation`.
    """
    guesser = Guesser(network, plan, space)
    plain, observed = guesser.divided(feedback.train, readable := guesser.can_read(feedback.train.rewarded, parent))
    repeats = min(MAX_REPEATS, max(1, round(len(rehearsal.train) / len([*plain, *observed]))))

    def draw(number: int, parameters: Parameters) -> list[Example]:
        rehearsed = rehearsal.train[number % repeats :: repeats]
        return [*rehearsed, *plain, *guesser.examples(observed, parameters, number)]

    passes = plan.epochs * repeats * (GUESSING_REPEATS if observed else 1)
    fitted = fit_passes(network, parent, draw, passes, plan, on_step).parameters
    validation = guesser.divided(feedback.validation, readable)

    def trial(share: float) -> Trial:
        parameters = interpolated(parent, fitted, share)
        rehearsal_loss = mean_loss(network, parameters, rehearsal.validation, plan)
        return Trial(share, guesser.mean_loss(*validation, parameters), rehearsal_loss)

    trials = [trial(share) for share in SHARES]
    best = chosen(trials)
    return TunedParameters(interpolated(parent, fitted, best.share), best.share, trials)


@dataclass(frozen=True)
class Guesser:
    """What is known of texts that nobody gave, by a network's parameters."""

    network: CtcNetwork
    plan: CtcFittingPlan
    space: int
    distort: Distort = masked

    def can_read(self, rewarded: Sequence[ObservedLine], parameters: Parameters) -> bool:
        """Return whether the rewards of wrong texts are explained often enough to be scores, or thumbs."""
        unknown = [line for line in rewarded if line.truth is None]
        explained = [guess.likelihood > 0 for guess in self._guesses(unknown, parameters, 0)]
        return bool(explained) and sum(explained) >= MIN_EXPLAINED * len(explained)

    def divided(self, split: SplitFeedback, readable: bool) -> tuple[list[Example], list[ObservedLine]]:
        """Return examples to fit as they are, and lines whose texts are guessed: rewarded ones if these can be read."""
        if readable:
            return split.corrected, [*split.rewarded, *split.preferred]
        return [*split.corrected, *(line.example for line in split.rewarded)], split.preferred

    def examples(self, observed: Sequence[ObservedLine], parameters: Parameters, number: int) -> list[Example]:
        """Return the guessed examples of a pass."""
        guessed = self._guesses(observed, parameters, number)
        return guessed_examples(observed, guessed, np.random.default_rng([self.plan.seed, number, 1]), self.distort)

    def mean_loss(self, plain: Sequence[Example], observed: Sequence[ObservedLine], parameters: Parameters) -> float:
        """Return the loss of all feedback together, per symbol: about -log of its likelihood."""
        symbols = [
            sum(len(example.labels) + 1 for example in part) for part in (plain, [line.example for line in observed])
        ]
        loss = symbols[0] * mean_loss(self.network, parameters, plain, self.plan) if plain else 0.0
        return (loss + unexplained(self._guesses(observed, parameters, 0))) / max(1, sum(symbols))

    def _guesses(self, observed: Sequence[ObservedLine], parameters: Parameters, number: int) -> list[Guess]:
        rng = np.random.default_rng([self.plan.seed, number])
        return guesses(self.network, parameters, observed, self.plan, self.space, rng)
