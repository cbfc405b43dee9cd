"""Figures of heads on the task's held-out lines: the body's features are computed once for all of them."""

from collections.abc import Sequence

import numpy as np

from models.adapters.linear_layer import LinearLayer
from models.base import Sample, Task
from models.ocr.corrections import character_errors
from models.ocr.metrics import rate
from models.ocr.training.feedback import whole_picture
from models.ocr.training.recognizer import CutRecognizer


def measured(task: Task, recognizer: CutRecognizer, layers: Sequence[LinearLayer], most: int) -> list[dict[str, float]]:
    """Return the character error rates of each head on pictures of single lines, by group, of `most` each."""
    values: list[dict[str, float]] = [{} for _ in layers]
    for group, samples in _lines(task, most).items():
        pictures = [whole_picture(task.preprocess(sample.payload)) for sample in samples]
        features, truths = recognizer.features(pictures), [sample.correction["text"] for sample in samples]
        for figures, layer in zip(values, layers, strict=True):
            texts = recognizer.texts(features, layer)
            edits = np.array([character_errors(text, truth) for text, truth in zip(texts, truths, strict=True)])
            figures |= {f"cer_{group}": round(rate(edits), 5), f"lines_{group}": len(edits)}
    return values


def _lines(task: Task, most: int) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = {}
    for sample in task.held_out() if most else ():
        if "\n" not in sample.correction["text"] and len(members := groups.setdefault(sample.group, [])) < most:
            members.append(sample)
    return groups
