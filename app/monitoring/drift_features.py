"""Features for drift detection: numbers of an event, and the samples of many events. Pure.

The name of a feature begins with its source, `inputs.`, `outputs.` or `labels.`, as in `DriftDetected`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from app.events.base import canonical_json
from app.monitoring.drift import Samples
from models.base import Task

MAX_CLASSES = 20
"""Limit of classes that are features, the most frequent ones: the set of labels may be open."""


def prediction_features(
    task: Task, output: Mapping[str, Any], confidence: float, inputs: Mapping[str, float]
) -> dict[str, float]:
    """Return the features of a prediction: those of its inputs, its confidence, its length, its counts of classes."""
    return (
        {f"inputs.{name}": value for name, value in inputs.items()}
        | {"outputs.confidence": confidence}
        | output_features(task, output, "outputs")
    )


def output_features(task: Task, output: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return the features of an output or a label: its length as JSON, and its count of each class."""
    classes = Counter(task.classes(output))
    counts = {f"{prefix}.class.{name}": float(count) for name, count in classes.items()}
    return {f"{prefix}.length": float(len(canonical_json(output)))} | counts


def collect_samples(events: Iterable[Mapping[str, float]]) -> Samples:
    """Return the values of each feature; the count of a class that an event does not contain is 0."""
    rows = list(events)
    names = Counter(name for row in rows for name in row)
    classes = [name for name, _ in names.most_common() if ".class." in name][:MAX_CLASSES]
    columns = {name: [row[name] for row in rows if name in row] for name in names if ".class." not in name}
    columns |= {name: [row.get(name, 0.0) for row in rows] for name in classes}
    return {name: np.array(values, np.float64) for name, values in columns.items()}


def add_classes(samples: Samples, other: Samples) -> Samples:
    """Return samples with the classes of others too: the count of a class that they do not contain is 0."""
    lengths = {name: name.partition(".class.")[0] + ".length" for name in other.keys() - samples if ".class." in name}
    zeros = {name: np.zeros(len(samples[length])) for name, length in lengths.items() if length in samples}
    return {**samples, **zeros}
