"""What people corrected, as utterances to train on: the rows of a dataset that `hindsight replay` wrote."""

from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from models.base import Rejected, Untrainable
from models.datasets import Row, rows
from models.nn.ctc_fitting import Plan
from models.speech_to_text.corrections import checked
from models.speech_to_text.data import Utterance
from models.speech_to_text.mel import MELS
from models.speech_to_text.segments import TIME_STRIDE

SHARE, MOST_REPEATS = 0.5, 8
"""Corrections are repeated up to this share of what is made, but not more often than this: few of them teach little."""


@dataclass
class Corrections:
    """Labelled rows of the training's and the validation's entities, and how many could not be used, and why."""

    train: list[Utterance] = field(default_factory=list)
    validation: list[Utterance] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def repeated(self, made: int) -> list[Utterance]:
        """The training's rows, repeated beside `made` recordings."""
        repeats = min(MOST_REPEATS, round(SHARE * made / len(self.train))) if self.train else 0
        return self.train * max(1, repeats)

    def counts(self) -> dict[str, Any]:
        """How many of each."""
        return {"train": len(self.train), "validation": len(self.validation), "left out": dict(self.left_out)}


def corrections(dataset: Path, plan: Plan) -> Corrections:
    """The labelled rows of a dataset; those of the test are not even counted. Raises `Untrainable`."""
    found = Corrections()
    for row in rows(dataset):
        if row.label is None or row.split == "test":
            continue
        try:
            utterance = _utterance(row, row.label, plan)
        except Rejected as error:
            found.left_out[error.code] = found.left_out.get(error.code, 0) + 1
            continue
        (found.train if row.split == "train" else found.validation).append(utterance)
    return found


def _utterance(row: Row, label: dict[str, Any], plan: Plan) -> Utterance:
    """Raises `Rejected` for a label that can't be true of such a recording, or can't be learned from it."""
    mels = row.features.get("mels")
    if mels is None or mels.ndim != 2 or mels.shape[0] != MELS:
        raise Untrainable("the dataset's features are of another task or preprocess version: replay it again")
    text = str(checked(label)["text"])
    if mels.shape[1] > plan.buckets[-1]:
        raise Rejected("too_long", f"{mels.shape[1]} frames: at most {plan.buckets[-1]} are learned from")
    needed = len(text) + sum(len(list(run)) - 1 for _, run in groupby(text))  # a blank between equal symbols
    if needed > mels.shape[1] // TIME_STRIDE:
        raise Rejected("text_too_long", f"{len(text)} symbols in {mels.shape[1]} frames")
    return Utterance(mels, text)
