"""The drift reference in a version's card.

It is computed from held-out rows of the dataset, because a model's confidence is inflated on training rows: the newest
ones, which are spread over a day where there are enough.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from app.evaluation.backtest import predict_rows, served_rows
from app.inference.predictor import PredictionResult
from app.monitoring.drift import CYCLE, MAX_WINDOW_EVENTS, MIN_REFERENCE_VALUES, Samples
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
        held_out = [(row["time"], index) for index, row in enumerate(served_rows(file)) if row["split"] != "train"]
        kept_rows = set(_spread_newest(held_out))
        rows = (row for index, row in enumerate(served_rows(file)) if index in kept_rows)
        samples = asyncio.run(_collect_samples(task, version, rows))
    kept = {name: values for name, values in samples.items() if len(values) >= MIN_REFERENCE_VALUES}
    max_values = MAX_NUMBERS // max(len(kept), 1)
    return {name: [float(f"{value:.6g}") for value in values[-max_values:]] for name, values in kept.items()}


def _spread_newest(rows: Sequence[tuple[datetime, int]]) -> Sequence[int]:
    """Return the newest `MAX_WINDOW_EVENTS` rows, or as many evenly spaced ones of the newest day if it has more."""
    newest = [index for time, index in rows if time > rows[-1][0] - CYCLE]
    if len(newest) <= MAX_WINDOW_EVENTS:
        return [index for _, index in rows[-MAX_WINDOW_EVENTS:]]
    return [newest[place] for place in np.linspace(0, len(newest) - 1, MAX_WINDOW_EVENTS).astype(int)]


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
