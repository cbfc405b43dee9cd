"""Read a dataset's feedback on a CTC network's lines, as examples to fit: corrections, rewards and preferences.

A correction is an example like any other. A reward r of a served text y is learned from by policy gradient off policy
(Williams, "Simple statistical gradient-following algorithms", 1992; Swaminathan and Joachims, "Counterfactual risk
minimization", ICML 2015): -log p(y), which is the CTC loss of y, times its weight (`models.nn.reward_weights`).

Most texts are the best path's, and were served with a probability near 1; log p(y) of a wrong one has no lower bound.
So below the baseline the loss is -log(1 - p(y)) instead; `ctc_fitting` has this loss, and that of preferences.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import OutputPair, Row, rows, why_nothing
from models.nn.conv_ctc import ConvCtc
from models.nn.ctc_batches import Example
from models.nn.reward_weights import baseline, weight


class _Rewarded(NamedTuple):
    example: Example
    reward: float
    weight: float


@dataclass
class CtcFeedback:
    """Examples to fit, examples to choose by, and counts of rows by kind and by reason of omission."""

    train: list[Example]
    validation: list[Example]
    corrected_validation: list[Example]
    """The corrections among these."""
    baseline: float
    """The mean reward of the rows that are fitted."""
    counts: dict[str, int] = field(default_factory=dict)


def feedback(
    dataset: Path, signal: str, network: ConvCtc, widest: int, encode: Callable[[str], list[int]]
) -> CtcFeedback:
    """Read the rows of a dataset that have feedback; those of the split `test` are not read. Raises `Untrainable`.

    `signal` is the name of the signal in their features. Wider signals than `widest` are left out, and so is a text
    for which `encode` raises `KeyError`. A row with a label is a correction, whatever else it has.
    """
    read = _ExampleReader(signal, network, widest, encode)
    corrected: dict[str, list[Example]] = {"train": [], "validation": []}
    rewarded: dict[str, list[_Rewarded]] = {"train": [], "validation": []}
    preferred: dict[str, list[Example]] = {"train": [], "validation": []}
    counts: Counter[str] = Counter()
    for row in rows(dataset):
        if row.split == "test":
            continue
        try:
            if row.label is not None:
                corrected[row.split].append(read.example(row, row.label))
                continue
            if row.reward is not None:
                rewarded[row.split].append(_Rewarded(read.example(row, row.output), row.reward, weight(row.propensity)))
            preferred[row.split] += [read.preference(row, pair) for pair in row.preferences]
        except _LeftOut as reason:
            counts[f"left out: {reason}"] += 1
    for split in ("train", "validation"):
        counts[f"{split} corrections"] = len(corrected[split])
        counts[f"{split} rewards"] = len(rewarded[split])
        counts[f"{split} preferences"] = len(preferred[split])
    mean = baseline(
        [line.reward for line in rewarded["train"]],
        [line.weight for line in rewarded["train"]],
    )
    train, validation = (
        corrected[split] + _weighted(rewarded[split], mean) + preferred[split] for split in ("train", "validation")
    )
    if not any(example.weight for example in train):
        raise Untrainable(why_nothing(counts))
    return CtcFeedback(train, validation, corrected["validation"], mean, dict(counts))


class _LeftOut(Exception):
    """Why a row can't be learned from."""


@dataclass(frozen=True)
class _ExampleReader:
    signal: str
    network: ConvCtc
    widest: int
    encode: Callable[[str], list[int]]

    def example(self, row: Row, output: Mapping[str, Any]) -> Example:
        """Return the row's signal with the labels of an output. Raises `_LeftOut` and `Untrainable`."""
        signal: NDArray[Any] | None = row.features.get(self.signal)
        if signal is None or signal.ndim != 2 or signal.shape[0] != self.network.height:
            raise Untrainable(
                f"the dataset's features have no {self.signal!r} of height {self.network.height}: "
                "they are of another task or preprocess version"
            )
        try:
            labels = self.encode(output["text"])
        except KeyError:
            raise _LeftOut("unknown symbol") from None
        width = signal.shape[1]
        if width > self.widest:
            raise _LeftOut("too wide")
        blanks = sum(first == second for first, second in pairwise(labels))  # equal symbols need one between them
        if len(labels) + blanks > -(-width // self.network.time_stride):
            raise _LeftOut("more symbols than fit")
        return Example(signal, labels)

    def preference(self, row: Row, pair: OutputPair) -> Example:
        """Return the row's signal with the labels of the better and the worse output. Raises the same."""
        return self.example(row, pair.better)._replace(worse=self.example(row, pair.worse).labels)


def _weighted(rewarded: list[_Rewarded], mean: float) -> list[Example]:
    return [line.example._replace(weight=line.weight * (line.reward - mean)) for line in rewarded]
