"""From the outputs of a trial to how a classifier, a recogniser or a policy is read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.templates.foreign.hints import Hints
from app.templates.foreign.notes import Notes, unusable
from models.foreign.heads import ActionsHead, Activation, ClassificationHead, CtcHead

Outputs = Mapping[str, Any]


def tables(outputs: Outputs, axes: int) -> dict[str, NDArray[Any]]:
    """Return the outputs of numbers with so many axes."""
    return {
        name: output
        for name, output in outputs.items()
        if isinstance(output, np.ndarray) and output.ndim == axes and output.dtype.kind == "f"
    }


def activation_of(scores: NDArray[Any]) -> Activation:
    """Return what makes probabilities of the scores of exclusive classes, in the last axis."""
    if are_shares(scores):
        return "none"
    if scores.max() <= 1e-4 and np.allclose(np.exp(scores).sum(axis=-1), 1, atol=1e-2):
        return "exp"
    return "softmax"


def are_probabilities(scores: NDArray[Any]) -> bool:
    """Return whether all are from 0 to 1."""
    return bool(scores.min() >= 0 and scores.max() <= 1)


def are_shares(scores: NDArray[Any]) -> bool:
    """Return whether the last axis sums to 1."""
    return bool(scores.min() >= -1e-4 and np.allclose(scores.sum(axis=-1, dtype=np.float64), 1, atol=1e-2))


def class_tables(outputs: Outputs) -> dict[str, int]:
    """Return how many classes each output has that may be a classifier's: (batch, classes), or maps (ZipMap)."""
    maps = {name: len(output[0]) for name, output in outputs.items() if isinstance(output, list) and output}
    flat = {
        name: int(output.size // len(output))
        for name, output in outputs.items()
        if isinstance(output, np.ndarray)
        and output.dtype.kind == "f"
        and output.ndim in (2, 4)
        and output.size == len(output) * output.shape[1]
    }
    return maps | flat


def design_classification(outputs: Outputs, hints: Hints, notes: Notes) -> tuple[ClassificationHead, tuple[str, ...]]:
    """Return how to read a classifier, and its labels. Raises `SetupError`."""
    name, keys, scores = _chosen(outputs, notes)
    classes = scores.shape[1]
    activation: Activation = activation_of(scores)
    if classes == 1:
        activation = "none" if are_probabilities(scores) else "sigmoid"
        notes.assumed.append("its only score is that of the second of two classes")
    else:
        notes.known.append(f"{name} has {'probabilities' if activation == 'none' else 'scores, made probabilities'}")
    labels = _labels(max(2, classes), "class", keys, hints, notes)
    return ClassificationHead(scores=name, activation=activation, keys=keys), labels


def design_bandit(outputs: Outputs, hints: Hints, notes: Notes) -> tuple[ActionsHead, tuple[str, ...]]:
    """Return how to read the values of actions, and the actions. Raises `SetupError`."""
    name, keys, values = _chosen(outputs, notes)
    if values.shape[1] < 2:
        raise unusable("a bandit needs a value for each of at least two actions", "Export it with one output for each.")
    notes.assumed.append(f"the action with the highest {name} is best")
    return ActionsHead(values=name, keys=keys), _labels(values.shape[1], "action", keys, hints, notes)


def _chosen(outputs: Outputs, notes: Notes) -> tuple[str, tuple[int | str, ...], NDArray[Any]]:
    found = class_tables(outputs)
    if not found:
        raise unusable("no output has one score for each class", "Give the --kind that it is of.")
    name = next((name for name in found if "prob" in name or "logit" in name), next(iter(found)))
    if len(found) > 1:
        notes.assumed.append(f"{name} has the scores, of the outputs {', '.join(found)}")
    output = outputs[name]
    if isinstance(output, list):
        keys = tuple(output[0])
        return name, keys, np.array([[row[key] for key in keys] for row in output])
    return name, (), output.reshape(len(output), -1)


def _labels(count: int, noun: str, keys: tuple[int | str, ...], hints: Hints, notes: Notes) -> tuple[str, ...]:
    if hints.labels is not None:
        if len(hints.labels) != count:
            raise unusable(f"it has {count} of its outputs and {len(hints.labels)} labels are given", "Give --labels.")
        return hints.labels
    if keys:
        notes.known.append("labels: the keys of its output")
        return tuple(map(str, keys))
    notes.assumed.append(
        f"the labels are numbers, {noun}_0 and so on: the model names none of the {count}; --labels does"
    )
    return tuple(f"{noun}_{number}" for number in range(count))


def design_ctc(outputs: Outputs, hints: Hints, notes: Notes) -> tuple[CtcHead, tuple[str, ...]]:
    """Return how to read a recogniser, and its symbols, those that are no text as "". Raises `SetupError`."""
    name, scores = next(iter(tables(outputs, 3).items()), ("", np.zeros(0)))
    if not name:
        raise unusable("no output has a score for each symbol in each frame", "Give the --kind that it is of.")
    frames_first = scores.shape[0] != 1
    if frames_first and scores.shape[1] != 1:
        raise unusable(f"{name} has the shape {scores.shape} for one event", "Export it with the batch in front.")
    return CtcHead(scores=name, frames_first=frames_first, activation=activation_of(scores)), _symbols(
        scores.shape[2], hints, notes
    )


def _symbols(count: int, hints: Hints, notes: Notes) -> tuple[str, ...]:
    symbols = hints.labels or ()
    if len(symbols) == count - 1:
        notes.assumed.append("the blank comes before the symbols")
        return ("", *symbols)
    if len(symbols) == count - 2:
        notes.assumed.append("the blank comes before the symbols and a space after them, as in PaddleOCR")
        return ("", *symbols, " ")
    if len(symbols) != count:
        raise unusable(
            f"it has {count} symbols with the blank, and {len(symbols)} are given",
            "Give --labels FILE with one symbol in each line, in the model's order, the blank left out if it is first.",
        )
    if "" not in symbols:
        notes.assumed.append(f"the blank is the first symbol, {symbols[0]!r}")
        return ("", *symbols[1:])
    return symbols
