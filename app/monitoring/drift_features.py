"""What is watched for drift: the numbers of an event, and many events' numbers as samples. Pure.

A feature's name begins with whose it is, `inputs.`, `outputs.` or `labels.`, as `DriftDetected` says it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from app.events.base import canonical_json
from app.monitoring.drift import Samples
from models.base import Task

MAX_CLASSES = 20
"""So many classes are watched, the most frequent ones: labels of an open world are no features."""


def prediction_features(
    task: Task, output: Mapping[str, Any], confidence: float, inputs: Mapping[str, float]
) -> dict[str, float]:
    """The numbers of a prediction: what its inputs come to, how sure it is, how long, and how often of which class."""
    return (
        {f"inputs.{name}": value for name, value in inputs.items()}
        | {"outputs.confidence": confidence}
        | output_features(task, output, "outputs")
    )


def output_features(task: Task, output: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of an output or a label: its length as JSON, and how often it names each class."""
    classes = Counter(task.classes(output))
    counts = {f"{prefix}.class.{name}": float(count) for name, count in classes.items()}
    return {f"{prefix}.length": float(len(canonical_json(output)))} | counts


def collect_samples(events: Iterable[Mapping[str, float]]) -> Samples:
    """The events' numbers by feature; a class that an event doesn't name is there 0 times."""
    rows = list(events)
    names = Counter(name for row in rows for name in row)
    classes = [name for name, _ in names.most_common() if ".class." in name][:MAX_CLASSES]
    found = {name: [row[name] for row in rows if name in row] for name in names if ".class." not in name}
    found |= {name: [row.get(name, 0.0) for row in rows] for name in classes}
    return {name: np.array(values, np.float64) for name, values in found.items()}


def align_classes(reference: Samples, window: Samples) -> tuple[Samples, Samples]:
    """Both, with each other's classes: one that either never names is there 0 times."""

    def completed(mine: Samples, other: Samples) -> Samples:
        missing = {name: name.partition(".class.")[0] + ".length" for name in other.keys() - mine if ".class." in name}
        return {**mine, **{name: np.zeros(len(mine[like])) for name, like in missing.items() if like in mine}}

    return completed(reference, window), completed(window, reference)
