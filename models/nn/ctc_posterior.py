"""Guess the true texts of lines from a CTC network and what feedback other than corrections says of them.

Such feedback is an observation of the true text c: a reward says how near to it the served text is, a preference which
of two texts is nearer. Its likelihood under the network is a sum over all texts,

    P(feedback | x) = sum over c of p(c | x) * [c explains the feedback]

and c is distributed as p(c | x, feedback) (learning from partial labels: Cour et al., JMLR 2011; maximum marginal
likelihood: Guu et al., "From language to programs", ACL 2017, equation 4). Both are estimated by rejection: texts are
drawn from p(c | x), and those that don't explain the feedback are rejected.

The most probable text of the rest is fitted like a correction, and guessed anew before each pass (hard
expectation-maximisation: Min et al., EMNLP 2019). It weighs p(c | x, feedback), where feedback is wrong with the
probability `NOISE`: so a text that the network holds for improbable teaches little until other lines have made it
more probable. The network sees the line distorted (`models.nn.spec_augment`), and the guess is of the line as it was
(noisy students: Xie et al., CVPR 2020): otherwise it would learn only to be as sure as it is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.nn.convolution import Parameters
from models.nn.ctc import sampled_paths, single_spaced
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_fitting import log_probabilities
from models.nn.ctc_network import CtcNetwork
from models.nn.spec_augment import masked

DRAWS = 300
"""The draws for a line. A text less probable than 1 in so many is hardly guessed, and would weigh little."""
NOISE = 0.05
"""People press the wrong thumb, and networks are too sure of what they read."""


Distort = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
"""Return a copy of a signal (height, width) that is distorted by chance."""


class ObservedLine(NamedTuple):
    """A line whose true text is not known, and which texts explain the feedback on it."""

    example: Example
    """What is fitted where no text that is drawn explains the feedback."""
    explains: Callable[[list[int]], bool]
    truth: list[int] | None = None
    """The true text where the feedback leaves no other: the served one, if the reward says that it is right."""


class Guess(NamedTuple):
    """The most probable text that explains a line's feedback, its probability, and that of all that explain it."""

    labels: list[int]
    probability: float
    likelihood: float


def guesses(
    network: CtcNetwork,
    parameters: Parameters,
    lines: Sequence[ObservedLine],
    plan: CtcFittingPlan,
    space: int,
    rng: np.random.Generator,
) -> list[Guess]:
    """Guess the text of each line, words single-spaced, from `DRAWS` draws."""
    signals = log_probabilities(network, parameters, [line.example for line in lines], plan)
    guessed = {place: guess(lines[place], log_probs, space, rng) for place, log_probs in signals}
    return [guessed[place] for place in range(len(lines))]


def guess(line: ObservedLine, log_probs: NDArray[np.float32], space: int, rng: np.random.Generator) -> Guess:
    """Guess the text of one line from the log probabilities of its frames, (frames, classes)."""
    drawn = Counter(tuple(single_spaced(labels, space)) for labels in sampled_paths(log_probs, DRAWS, rng))
    if line.truth is not None:
        share = drawn[tuple(line.truth)] / DRAWS
        return Guess(line.truth, share, share)
    explaining = {labels: count for labels, count in drawn.items() if line.explains(list(labels))}
    best = max(explaining, key=lambda labels: (explaining[labels], labels), default=())
    return Guess(list(best), explaining.get(best, 0) / DRAWS, sum(explaining.values()) / DRAWS)


def guessed_examples(
    lines: Sequence[ObservedLine], guessed: Sequence[Guess], rng: np.random.Generator, distort: Distort = masked
) -> list[Example]:
    """Return each line, distorted, with the text that is guessed."""
    examples = [_guessed_example(line, guess) for line, guess in zip(lines, guessed, strict=True)]
    return [example._replace(signal=distort(example.signal, rng)) for example in examples]


def _guessed_example(line: ObservedLine, guess: Guess) -> Example:
    if line.truth is not None:
        return Example(line.example.signal, line.truth)
    if not guess.likelihood:
        return line.example
    return Example(line.example.signal, guess.labels, guess.probability / (guess.likelihood + NOISE))


def unexplained(guessed: Sequence[Guess]) -> float:
    """Return the sum of 1 - P(feedback | x) over lines.

    It is a lower bound of -log P(feedback | x), by which a few lines of which a network is too sure would outweigh
    all others.
    """
    return sum(1 - guess.likelihood for guess in guessed)
