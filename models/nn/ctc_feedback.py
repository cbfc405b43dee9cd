"""Read a dataset's feedback on a CTC network's lines, as examples to fit: corrections, and rewards.

A correction is an example like any other. A reward r of a served text y is learned from by policy gradient off policy
(Williams, "Simple statistical gradient-following algorithms", 1992; Swaminathan and Joachims, "Counterfactual risk
minimization", ICML 2015): -log p(y), which is the CTC loss of y, times its weight (`models.nn.reward_weights`).

Most texts are the best path's, and were served with a probability near 1; log p(y) of a wrong one has no lower bound.
So below the baseline the loss is -log(1 - p(y)) instead, see `ctc_fitting`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import Row, rows, why_nothing
from models.nn.conv_ctc import ConvCtc
from models.nn.ctc_fitting import Example
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
    for which `encode` raises `KeyError`. A row with a label and a reward is a correction.
    """
    corrected: dict[str, list[Example]] = {"train": [], "validation": []}
    rewarded: dict[str, list[_Rewarded]] = {"train": [], "validation": []}
    counts: Counter[str] = Counter()
    for row in rows(dataset):
        text = (row.output if row.label is None else row.label)["text"]
        if row.split == "test" or (row.label is None and row.reward is None):
            continue
        example = _example(row, text, signal, network, widest, encode)
        if isinstance(example, str):
            counts[f"left out: {example}"] += 1
        elif row.label is not None:
            corrected[row.split].append(example)
        elif row.reward is not None:
            rewarded[row.split].append(_Rewarded(example, row.reward, weight(row.propensity)))
    for split in ("train", "validation"):
        counts[f"{split} corrections"] = len(corrected[split])
        counts[f"{split} rewards"] = len(rewarded[split])
    mean = baseline(
        [line.reward for line in rewarded["train"]],
        [line.weight for line in rewarded["train"]],
    )
    found = CtcFeedback(
        corrected["train"] + _weighted(rewarded["train"], mean),
        corrected["validation"] + _weighted(rewarded["validation"], mean),
        corrected["validation"],
        mean,
        dict(counts),
    )
    if not any(example.weight for example in found.train):
        raise Untrainable(why_nothing(counts))
    return found


def _example(
    row: Row, text: str, name: str, network: ConvCtc, widest: int, encode: Callable[[str], list[int]]
) -> Example | str:
    """Return the example, or why it can't be learned from."""
    signal: NDArray[Any] | None = row.features.get(name)
    if signal is None or signal.ndim != 2 or signal.shape[0] != network.height:
        raise Untrainable(
            f"the dataset's features have no {name!r} of height {network.height}: "
            "they are of another task or preprocess version"
        )
    try:
        labels = encode(text)
    except KeyError:
        return "unknown symbol"
    width = signal.shape[1]
    if width > widest:
        return "too wide"
    blanks = sum(first == second for first, second in pairwise(labels))  # equal symbols need one between them
    if len(labels) + blanks > -(-width // network.time_stride):
        return "more symbols than fit"
    return Example(signal, labels)


def _weighted(rewarded: list[_Rewarded], mean: float) -> list[Example]:
    return [line.example._replace(weight=line.weight * (line.reward - mean)) for line in rewarded]
