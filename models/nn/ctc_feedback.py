"""Read a dataset's feedback on a CTC network's lines: corrections, rewards and preferences.

A correction is an example like any other. Rewards and preferences are observations of the true text, see
`models.nn.ctc_posterior`: a text explains a reward if it gives the served text the score that the reward says
(`models.nn.reward_reading`), and a preference if it gives the better text a higher score than the worse one.

Where no text is found that explains a reward r of a served text y, it is learned from by policy gradient off policy
(Williams, "Simple statistical gradient-following algorithms", 1992; Swaminathan and Joachims, "Counterfactual risk
minimization", ICML 2015): -log p(y), which is the CTC loss of y, times its weight (`models.nn.reward_weights`).
Most texts are the best path's, and were served with a probability near 1; log p(y) of a wrong one has no lower bound.
So below the baseline the loss is -log(1 - p(y)) instead, see `models.nn.ctc_fitting`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import OutputPair, Row, rows, why_nothing
from models.nn.ctc_batches import Example
from models.nn.ctc_network import CtcNetwork
from models.nn.ctc_posterior import ObservedLine
from models.nn.reward_reading import Reading, reading
from models.nn.reward_weights import baseline, weight

Score = Callable[[list[int], list[int]], float]
"""Return how good labels are, given the true ones, from 0 to 1."""


class _Rewarded(NamedTuple):
    example: Example
    reward: float
    weight: float


@dataclass
class SplitFeedback:
    """The feedback of one split: corrections, and lines with a reward or a preference instead."""

    corrected: list[Example] = field(default_factory=list)
    rewarded: list[ObservedLine] = field(default_factory=list)
    preferred: list[ObservedLine] = field(default_factory=list)


@dataclass
class CtcFeedback:
    """Feedback to fit, feedback to choose by, and counts of rows by kind and by reason of omission."""

    train: SplitFeedback
    validation: SplitFeedback
    baseline: float
    """The mean reward of the rows that are fitted."""
    counts: dict[str, int] = field(default_factory=dict)


def feedback(
    dataset: Path, signal: str, network: CtcNetwork, widest: int, encode: Callable[[str], list[int]], score: Score
) -> CtcFeedback:
    """Read the rows of a dataset whose features have a signal of this name. Raises `Untrainable`.

    Wider signals than `widest` are left out, and so is a text for which `encode` raises `KeyError`.
    """
    return collect(rows(dataset), _ExampleReader(signal, network, widest, encode), score)


class ExampleReader(Protocol):
    """How a row's outputs become examples."""

    def corrected(self, row: Row, label: Mapping[str, Any]) -> Sequence[Example]:
        """Return the examples of a correction. Raises `LeftOut` and `Untrainable`."""

    def example(self, row: Row, output: Mapping[str, Any]) -> Example:
        """Return the only line of an output. Raises `LeftOut` and `Untrainable`."""


def collect(dataset_rows: Iterable[Row], read: ExampleReader, score: Score) -> CtcFeedback:
    """Return the feedback of rows, without those of the split `test`. Raises `Untrainable`.

    A row with a label is a correction, whatever else it has.
    """
    splits = {"train": SplitFeedback(), "validation": SplitFeedback()}
    rewarded: dict[str, list[_Rewarded]] = {name: [] for name in splits}
    counts: Counter[str] = Counter()
    for row in dataset_rows:
        if row.split == "test":
            continue
        try:
            if row.label is not None:
                splits[row.split].corrected += read.corrected(row, row.label)
                continue
            if row.reward is not None:
                rewarded[row.split].append(_Rewarded(read.example(row, row.output), row.reward, weight(row.propensity)))
            splits[row.split].preferred += [_preferred(read, row, pair, score) for pair in row.preferences]
        except LeftOut as reason:
            counts[f"left out: {reason}"] += 1
    rewards = [line.reward for line in rewarded["train"]]
    mean, explains = baseline(rewards, [line.weight for line in rewarded["train"]]), reading(rewards)
    for name, split in splits.items():
        split.rewarded = [_observed(line, mean, explains, score) for line in rewarded[name]]
        counts[f"{name} corrections"] = len(split.corrected)
        counts[f"{name} rewards"] = len(split.rewarded)
        counts[f"{name} preferences"] = len(split.preferred)
    train = splits["train"]
    if not train.corrected and not train.preferred and not any(line.example.weight for line in train.rewarded):
        raise Untrainable(why_nothing(counts))
    return CtcFeedback(train, splits["validation"], mean, dict(counts))


def _observed(line: _Rewarded, mean: float, explains: Reading, score: Score) -> ObservedLine:
    served = line.example.labels
    return ObservedLine(
        line.example._replace(weight=line.weight * (line.reward - mean)),
        lambda labels: explains(line.reward, score(served, labels)),
        served if explains(line.reward, 1.0) else None,
    )


def _preferred(read: ExampleReader, row: Row, pair: OutputPair, score: Score) -> ObservedLine:
    """Return the row's line with a preference: where nothing explains it, the worse text becomes less probable."""
    better, worse = read.example(row, pair.better).labels, read.example(row, pair.worse)
    return ObservedLine(worse._replace(weight=-1.0), lambda labels: score(better, labels) > score(worse.labels, labels))


class LeftOut(Exception):
    """Why a row can't be learned from."""


@dataclass(frozen=True)
class _ExampleReader:
    signal: str
    network: CtcNetwork
    widest: int
    encode: Callable[[str], list[int]]

    def corrected(self, row: Row, label: Mapping[str, Any]) -> Sequence[Example]:
        """Return the row's signal with the labels of its correction. Raises as `example` does."""
        return [self.example(row, label)]

    def example(self, row: Row, output: Mapping[str, Any]) -> Example:
        """Return the row's signal with the labels of an output. Raises `LeftOut` and `Untrainable`."""
        signal: NDArray[Any] | None = row.features.get(self.signal)
        if signal is None or signal.ndim != 2 or signal.shape[0] != self.network.height:
            raise Untrainable(
                f"the dataset's features have no {self.signal!r} of height {self.network.height}: "
                "they are of another task or preprocess version"
            )
        try:
            labels = self.encode(output["text"])
        except KeyError:
            raise LeftOut("unknown symbol") from None
        return fitting_example(signal, labels, self.widest, self.network.time_stride)


def fitting_example(signal: NDArray[Any], labels: list[int], widest: int, time_stride: int = 1) -> Example:
    """Return an example, if it is not too wide and its labels fit into its frames. Raises `LeftOut`."""
    width = signal.shape[1]
    if width > widest:
        raise LeftOut("too wide")
    blanks = sum(first == second for first, second in pairwise(labels))  # equal symbols need one between them
    if len(labels) + blanks > -(-width // time_stride):
        raise LeftOut("more symbols than fit")
    return Example(signal, labels)
