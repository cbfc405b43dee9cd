"""What is usual for a version: the reference in its card, by which drift is seen.

It is of the newest rows of its dataset that it did not learn from: of those that it did, it is surer than of any other.
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
"""The most that a reference has: a card goes through Kafka."""

Row = Mapping[str, Any]


def build_reference(task: Task, version: Path, dataset: Path) -> dict[str, list[float]]:
    """By feature, its value of each row, at most `LONGEST`; no feature of which there are fewer than `FEWEST`.

    Labels are those of rows that were to be looked at anyhow, as in `drifting.of_labels`.
    """
    with pq.ParquetFile(dataset / ROWS) as file:
        places = (place for place, row in enumerate(served_rows(file)) if row["split"] != "train")
        newest = set(deque(places, MAX_WINDOW_EVENTS))
        rows = (row for place, row in enumerate(served_rows(file)) if place in newest)
        found = asyncio.run(_collect_samples(task, version, rows))
    enough = {name: values for name, values in found.items() if len(values) >= MIN_REFERENCE_VALUES}
    longest = MAX_NUMBERS // max(len(enough), 1)
    return {name: [float(f"{value:.6g}") for value in values[-longest:]] for name, values in enough.items()}


async def _collect_samples(task: Task, version: Path, rows: Iterable[Row]) -> Samples:
    answered, labels = list[Mapping[str, float]](), list[Mapping[str, float]]()
    async for row, answer in predict_rows(task, version, rows):
        if isinstance(answer, PredictionResult):
            answered.append(
                prediction_features(task, answer.prediction.output, answer.prediction.confidence, answer.input_summary)
            )
        if row["label"] is not None and row["selection_probability"] is not None:
            labels.append(output_features(task, json.loads(row["label"]), "labels"))
    return {**collect_samples(answered), **collect_samples(labels)}
