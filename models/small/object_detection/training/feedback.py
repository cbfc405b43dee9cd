"""Read a dataset's feedback on scenes: corrections, and rewards of served boxes.

A correction is an example like any other. A reward r of served boxes y is learned from by policy gradient off policy
(Williams, "Simple statistical gradient-following algorithms", 1992; Swaminathan and Joachims, "Counterfactual risk
minimization", ICML 2015): -log p(y), times the reward's weight (`models.nn.reward_weights`). Above the baseline,
-log p(y) is the loss of y as if it were the truth: so it teaches edges too, and that nothing else is there.

Below the baseline the loss is -log(1 - p(y)), see `negative_feedback`. The parent, run again on a row's features, finds
 the candidates that were there when the row was served: each box of the output is one of them, and the others
were omitted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from models.base import Untrainable
from models.datasets import Row, rows, why_nothing
from models.nn.onnx_inference import session as onnx_session
from models.nn.reward_weights import baseline, weight
from models.object_detection.candidates import MAX_BOXES
from models.object_detection.policy import choices_of
from models.small.object_detection.data.generation import Labelled
from models.small.object_detection.images import SIDE
from models.small.object_detection.labels import LABELS
from models.small.object_detection.training import evaluation
from models.small.object_detection.training.negative_feedback import NO_CANDIDATE, NegativeScenes

SAME_BOX_IOU = 0.9
"""The lowest intersection over union of a served box with its candidate."""
_MIN_WEIGHT = 1e-6  # of weights: where all rewards are equal, rounding leaves less than this
SHAPES = {"image": (SIDE, SIDE, 3), "geometry": (6,)}


class RewardedScene(NamedTuple):
    """A scene with the served boxes, and how much more probable they are to become."""

    scene: Labelled
    weight: float


@dataclass(frozen=True)
class SplitFeedback:
    """The feedback of one split: corrected scenes, and those with a reward above and below the baseline."""

    corrected: list[Labelled]
    positive: list[RewardedScene]
    negative: NegativeScenes


@dataclass(frozen=True)
class DetectionFeedback:
    """What to fit, what to choose by, the mean reward, and counts of rows by kind and by reason of omission."""

    train: SplitFeedback
    validation: SplitFeedback
    baseline: float
    counts: dict[str, int] = field(default_factory=dict)


def feedback(dataset: Path, parent: onnx.ModelProto) -> DetectionFeedback:
    """Read the rows that have feedback; those of the split `test` are not read. Raises `Untrainable`.

    A row with a label and a reward is a correction.
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
    train, validation = (
        _split_feedback(corrected[split], rewarded[split], mean, session, counts) for split in corrected
    )
    if not train.corrected and not train.positive and not len(train.negative.weights):
        raise Untrainable(why_nothing(counts))
    return DetectionFeedback(train, validation, mean, dict(counts))


def _check(row: Row) -> None:
    for name, shape in SHAPES.items():
        tensor = row.features.get(name)
        if tensor is None or tensor.shape != shape:
            raise Untrainable(
                f"the dataset's features have no {name!r} of shape {shape}: "
                "they are of another task or preprocess version"
            )


def _split_feedback(
    corrected: list[Labelled], rewarded: Sequence[Row], mean: float, session: Any, counts: Counter[str]
) -> SplitFeedback:
    worth = [(row, weight(row.propensity) * ((row.reward or 0.0) - mean)) for row in rewarded]
    positive = [RewardedScene((row.features, row.output), value) for row, value in worth if value > _MIN_WEIGHT]
    negative = [(row, -value) for row, value in worth if value < -_MIN_WEIGHT]
    return SplitFeedback(corrected, positive, _negative(negative, session, counts))


def _negative(worth: Sequence[tuple[Row, float]], session: Any, counts: Counter[str]) -> NegativeScenes:
    scenes = [(row.features, row.output) for row, _ in worth]
    candidates = evaluation.placed(evaluation.outputs(session, scenes), scenes) if scenes else []
    matched = []
    for (row, value), found in zip(worth, candidates, strict=True):
        choices = choices_of(row.output["boxes"], found, LABELS, SAME_BOX_IOU)
        if choices is None:
            counts["left out: said by another version"] += 1
        elif not len(choices):
            counts["left out: nothing to choose"] += 1
        else:
            matched.append((row.features["image"], found.cells, choices, value))
    whole = NegativeScenes(
        np.zeros((len(matched), SIDE, SIDE, 3), np.uint8),
        np.zeros((len(matched), MAX_BOXES), np.int32),
        np.full((len(matched), MAX_BOXES), NO_CANDIDATE, np.int32),
        np.array([value for *_, value in matched], np.float32),
    )
    for number, (square, cells, choices, _) in enumerate(matched):
        whole.squares[number] = square
        whole.cells[number, : len(cells)] = cells
        whole.choices[number, : len(cells)] = choices
    return whole
