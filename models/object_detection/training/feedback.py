"""What a dataset says of its scenes: corrections, and bare rewards of what was served.

A correction is an example like any other. A reward r of served boxes y is learned from by policy gradient off policy
(Williams, "Simple statistical gradient-following algorithms", 1992; Swaminathan and Joachims, "Counterfactual risk
minimization", ICML 2015): -log p(y), times the reward's weight (`models.nn.reward_weights`). Above the baseline,
-log p(y) is the loss of y as if it were the truth: so it teaches edges too, and that nothing else is there.

Below the baseline the loss is -log(1 - p(y)), see `negative_feedback`. The parent, run again on a row's features, finds
 the candidates that were there when the row was served: each box of the output is one of them, and what is not in
the output was left unsaid.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import Row, rows, why_nothing
from models.nn.onnx_inference import session as onnx_session
from models.nn.reward_weights import baseline, weight
from models.object_detection.boxes import overlaps
from models.object_detection.data.generation import Labelled
from models.object_detection.decoding import MOST_BOXES, Candidates
from models.object_detection.images import SIDE
from models.object_detection.labels import LABELS
from models.object_detection.training import evaluation
from models.object_detection.training.negative_feedback import NO_CANDIDATE, Punished

SAME_BOX = 0.9
"""The least intersection over union of a box that was put out with the candidate that it was."""
_LEAST = 1e-6  # a weight: what is left of it where all rewards are equal
SHAPES = {"image": (SIDE, SIDE, 3), "geometry": (6,)}


class Lesson(NamedTuple):
    """A scene with what was said of it, and how much more probable that is to become."""

    scene: Labelled
    weight: float


@dataclass(frozen=True)
class Said:
    """What is said of the scenes of one split: what is true, what is better than usual, and what is worse."""

    corrected: list[Labelled]
    praised: list[Lesson]
    punished: Punished


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
    for split in ("train", "validation"):
        counts[f"{split} corrections"] = len(corrected[split])
        counts[f"{split} rewards"] = len(rewarded[split])
    rewards = [row.reward or 0.0 for row in rewarded["train"]]
    mean = baseline(rewards, [weight(row.propensity) for row in rewarded["train"]])
    session = onnx_session(parent.SerializeToString())
    train, validation = (_said(corrected[split], rewarded[split], mean, session, counts) for split in corrected)
    if not train.corrected and not train.praised and not len(train.punished.weights):
        raise Untrainable(why_nothing(counts))
    return Feedback(train, validation, mean, dict(counts))


def _check(row: Row) -> None:
    for name, shape in SHAPES.items():
        tensor = row.features.get(name)
        if tensor is None or tensor.shape != shape:
            raise Untrainable(
                f"the dataset's features have no {name!r} of shape {shape}: "
                "they are of another task or preprocess version"
            )


def _said(corrected: list[Labelled], rewarded: Sequence[Row], mean: float, session: Any, counts: Counter[str]) -> Said:
    worth = [(row, weight(row.propensity) * ((row.reward or 0.0) - mean)) for row in rewarded]
    praised = [Lesson((row.features, row.output), value) for row, value in worth if value > _LEAST]
    punished = [(row, -value) for row, value in worth if value < -_LEAST]
    return Said(corrected, praised, _punished(punished, session, counts))


def _punished(worth: Sequence[tuple[Row, float]], session: Any, counts: Counter[str]) -> Punished:
    scenes = [(row.features, row.output) for row, _ in worth]
    candidates = evaluation.placed(evaluation.outputs(session, scenes), scenes) if scenes else []
    matched = []
    for (row, value), found in zip(worth, candidates, strict=True):
        choices = choices_of(row.output["boxes"], found)
        if choices is None:
            counts["left out: said by another version"] += 1
        elif not len(choices):
            counts["left out: nothing to choose"] += 1
        else:
            matched.append((row.features["image"], found.cells, choices, value))
    whole = Punished(
        np.zeros((len(matched), SIDE, SIDE, 3), np.uint8),
        np.zeros((len(matched), MOST_BOXES), np.int32),
        np.full((len(matched), MOST_BOXES), NO_CANDIDATE, np.int32),
        np.array([value for *_, value in matched], np.float32),
    )
    for number, (square, cells, choices, _) in enumerate(matched):
        whole.squares[number] = square
        whole.cells[number, : len(cells)] = cells
        whole.choices[number, : len(cells)] = choices
    return whole


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
