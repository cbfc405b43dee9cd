"""The drift reference in a version's card.

It is computed from the newest held-out rows of the dataset, because a model's confidence is inflated on training rows.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.evaluation.backtest import predict_rows, served_rows
from app.inference.predictor import PredictionResult
from app.monitoring.drift import MAX_WINDOW_EVENTS, MIN_REFERENCE_VALUES, Samples
from app.monitoring.drift_features import collect_samples, output_features, prediction_features
from models.base import Task
from models.datasets import ROWS

MAX_NUMBERS = 30_000
"""Maximum count of numbers in a reference, because a card goes through Kafka."""

Row = Mapping[str, Any]


def build_reference(task: Task, version: Path, dataset: Path) -> dict[str, list[float]]:
    """Return the values of each feature, `MAX_NUMBERS` in all, without features that have too few values.

    Labels come from the audit sample only, as in `drift_window.label_samples`.
    """
    with pq.ParquetFile(dataset / ROWS) as file:
        held_out = (index for index, row in enumerate(served_rows(file)) if row["split"] != "train")
        newest = set(deque(held_out, MAX_WINDOW_EVENTS))
        rows = (row for index, row in enumerate(served_rows(file)) if index in newest)
        samples = asyncio.run(_collect_samples(task, version, rows))
    kept = {name: values for name, values in samples.items() if len(values) >= MIN_REFERENCE_VALUES}
    max_values = MAX_NUMBERS // max(len(kept), 1)
    return {name: [float(f"{value:.6g}") for value in values[-max_values:]] for name, values in kept.items()}


async def _collect_samples(task: Task, version: Path, rows: Iterable[Row]) -> Samples:
    predictions, labels = list[Mapping[str, float]](), list[Mapping[str, float]]()
    async for row, result in predict_rows(task, version, rows):
        if isinstance(result, PredictionResult):
            predictions.append(
                prediction_features(task, result.prediction.output, result.prediction.confidence, result.input_summary)
            )
        if row["label"] is not None and row["selection_probability"] is not None:
            labels.append(output_features(task, json.loads(row["label"]), "labels"))
    return {**collect_samples(predictions), **collect_samples(labels)}
