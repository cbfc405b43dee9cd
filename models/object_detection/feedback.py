"""What a dataset says of its scenes: corrections, and bare rewards of what was said of the parent's candidates.

The parent, run again on a row's features, finds the candidates that were there when the row was served. Each box of the
output is one of them, and what is not in the output was left unsaid. How much a reward weighs is said in
`models.nn.rewards`, how it is learned from in `models.object_detection.rewarded`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import Row, rows
from models.nn.rewards import baseline, weight
from models.object_detection import report
from models.object_detection.boxes import overlaps
from models.object_detection.data import Labelled
from models.object_detection.decoding import MOST_BOXES, Candidates
from models.object_detection.images import SIDE
from models.object_detection.labels import LABELS
from models.object_detection.rewarded import NO_CANDIDATE, Rewarded

SAME_BOX = 0.9
"""The least intersection over union of a box that was put out with the candidate that it was."""
_LEAST = 1e-6  # what is left of a weight where all rewards are equal
SHAPES = {"image": (SIDE, SIDE, 3), "geometry": (6,)}


@dataclass(frozen=True)
class Said:
    """What is said of the scenes of one split."""

    corrected: list[Labelled]
    rewarded: Rewarded

    def __len__(self) -> int:
        return len(self.corrected) + len(self.rewarded.weights)


@dataclass(frozen=True)
class Feedback:
    """What to fit, what to choose by, the mean reward; how many rows there are of each kind, or left out, and why."""

    train: Said
    validation: Said
    baseline: float
    counts: dict[str, int] = field(default_factory=dict)


def feedback(dataset: Path, parent: onnx.ModelProto) -> Feedback:
    """The rows of a dataset that say anything; those of its test are not looked at. Raises `Untrainable`.

    A row with a label and a reward is a correction: the label says all that the reward does.
    """
    corrected: dict[str, list[Labelled]] = {"train": [], "validation": []}
    rewarded: dict[str, list[Row]] = {"train": [], "validation": []}
    counts: Counter[str] = Counter()
    for row in rows(dataset):
        if row.split == "test" or (row.label is None and row.reward is None):
            continue
        _check(row)
        if any(box["label"] not in LABELS for box in (row.label or row.output)["boxes"]):
            counts["left out: unknown label"] += 1
        elif row.label is not None:
            corrected[row.split].append((row.features, row.label))
        else:
            rewarded[row.split].append(row)
    served = {split: _matched(found, parent, counts) for split, found in rewarded.items()}
    for split in ("train", "validation"):
        counts[f"{split} corrections"] = len(corrected[split])
        counts[f"{split} rewards"] = len(served[split])
    mean = baseline(*_rewards_and_weights([row for row, _, _ in served["train"]]))
    train, validation = (Said(corrected[split], _rewarded(served[split], mean)) for split in corrected)
    if not train.corrected and not (np.abs(train.rewarded.weights) > _LEAST).any():
        raise Untrainable(_why_nothing(counts))
    return Feedback(train, validation, mean, dict(counts))


def _check(row: Row) -> None:
    for name, shape in SHAPES.items():
        tensor = row.features.get(name)
        if tensor is None or tensor.shape != shape:
            raise Untrainable(
                f"the dataset's features have no {name!r} of shape {shape}: "
                "they are of another task or preprocess version"
            )


def _why_nothing(counts: Counter[str]) -> str:
    if counts["train rewards"]:
        return "there are no corrections, and all rewards are equal: they don't say which output is better"
    left_out = ", ".join(f"{name} ({count})" for name, count in counts.items() if name.startswith("left out"))
    nothing = "no row of the split `train` has a correction or a reward that can be learned from: collect feedback."
    return f"{nothing} {left_out}".strip()


Served = tuple[Row, Candidates, NDArray[np.int64]]
"""A row, its candidates, and what was said of each."""


def _matched(found: Sequence[Row], parent: onnx.ModelProto, counts: Counter[str]) -> list[Served]:
    scenes = [(row.features, row.output) for row in found]
    candidates = report.placed(report.run(report.session(parent.SerializeToString()), scenes), scenes) if scenes else []
    served = []
    for row, one in zip(found, candidates, strict=True):
        choices = choices_of(row.output["boxes"], one)
        if choices is None:
            counts["left out: said by another version"] += 1
        elif not len(choices):
            counts["left out: nothing to choose"] += 1
        else:
            served.append((row, one, choices))
    return served


def choices_of(boxes: Sequence[dict[str, Any]], found: Candidates) -> NDArray[np.int64] | None:
    """What boxes say of candidates in the same picture, (n,); None where a box is of none of them."""
    choices = np.full(len(found.cells), len(LABELS))
    if not boxes:
        return choices
    alike = overlaps(np.array([box["box"] for box in boxes]), found.boxes)
    for likeness, box in zip(alike, boxes, strict=True):
        likeness[choices < len(LABELS)] = 0.0
        if likeness.max(initial=0.0) < SAME_BOX:
            return None
        choices[likeness.argmax()] = LABELS.index(box["label"])
    return choices


def _rewards_and_weights(found: Sequence[Row]) -> tuple[list[float], list[float]]:
    return [row.reward or 0.0 for row in found], [weight(row.propensity) for row in found]


def _rewarded(served: Sequence[Served], mean: float) -> Rewarded:
    whole = Rewarded(
        np.zeros((len(served), SIDE, SIDE, 3), np.uint8),
        np.zeros((len(served), MOST_BOXES), np.int32),
        np.full((len(served), MOST_BOXES), NO_CANDIDATE, np.int32),
        np.zeros(len(served), np.float32),
    )
    rewards, weights = _rewards_and_weights([row for row, _, _ in served])
    whole.weights[:] = np.array(weights) * (np.array(rewards) - mean)
    for number, (row, found, choices) in enumerate(served):
        whole.squares[number] = row.features["image"]
        whole.cells[number, : len(choices)] = found.cells
        whole.choices[number, : len(choices)] = choices
    return whole
