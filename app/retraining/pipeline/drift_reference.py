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

from app.evaluation.backtest import replayed, served_rows
from app.inference.predictor import Predicted
from app.monitoring.drift import FEWEST, LONGEST, Samples
from app.monitoring.drift_features import said, samples, watched
from models.base import Task
from models.datasets import ROWS

NUMBERS = 30_000
"""The most that a reference has: a card goes through Kafka."""

Row = Mapping[str, Any]


def reference(task: Task, version: Path, dataset: Path) -> dict[str, list[float]]:
    """By feature, its value of each row, at most `LONGEST`; no feature of which there are fewer than `FEWEST`.

    Labels are those of rows that were to be looked at anyhow, as in `drifting.of_labels`.
    """
    with pq.ParquetFile(dataset / ROWS) as file:
        places = (place for place, row in enumerate(served_rows(file)) if row["split"] != "train")
        newest = set(deque(places, LONGEST))
        rows = (row for place, row in enumerate(served_rows(file)) if place in newest)
        found = asyncio.run(_samples(task, version, rows))
    enough = {name: values for name, values in found.items() if len(values) >= FEWEST}
    longest = NUMBERS // max(len(enough), 1)
    return {name: [float(f"{value:.6g}") for value in values[-longest:]] for name, values in enough.items()}


async def _samples(task: Task, version: Path, rows: Iterable[Row]) -> Samples:
    answered, labels = list[Mapping[str, float]](), list[Mapping[str, float]]()
    async for row, answer in replayed(task, version, rows):
        if isinstance(answer, Predicted):
            answered.append(watched(task, answer.decoded.output, answer.decoded.confidence, answer.inputs))
        if row["label"] is not None and row["selection_probability"] is not None:
            labels.append(said(task, json.loads(row["label"]), "labels"))
    return {**samples(answered), **samples(labels)}
