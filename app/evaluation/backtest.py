"""Backtest: a version over the history of its task, beside what was served.

A dataset of the log is that history: a row for each prediction that was served. What a version would have said is
predicted by the functions that serve.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.evaluation.scoring import score
from app.events.base import ModelRef
from app.events.model_events import Backtest, BacktestSpan
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.statistics.bootstrap import weighted_mean
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import ROWS

SPAN_COUNT = 10
_LEVEL = 0.95
_BATCH = 64
_COLUMNS = (
    *("prediction_id", "time", "features", "tensors", "output", "label", "split"),
    *("selection", "selection_probability"),
)


@dataclass(frozen=True)
class _RowResult:
    """A row, and what the version made of it; scores of candidate and served only where both can be compared."""

    time: datetime
    agreement: float | None
    """How well it says what was served; None where it says nothing."""
    scores: tuple[float, float] | None
    weight: float


def backtest(
    task: Task, version: Path, dataset: Path, on_step: OnStep, seed: int = 0, new_since: datetime | None = None
) -> Backtest:
    """Hold a version, a `model.onnx`, against a dataset's rows that have features. Raises `Untrainable`.

    Scores are of outcomes that were to be looked at anyhow, in the split `test`, which no training sees; of requests
    from `new_since` on they are of every split: these the version can't have learned from.
    """
    try:
        with pq.ParquetFile(dataset / ROWS) as file:
            found = asyncio.run(_replay_rows(task, version, file, on_step, new_since))
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{dataset / ROWS} can't be read as a dataset of `hindsight replay`: {error}") from error
    return _summarize(found, seed)


def served_rows(file: pq.ParquetFile) -> Iterator[Mapping[str, Any]]:
    """A dataset's rows that have features and an output, in the order of their time; a few are in memory at a time."""
    for batch in file.iter_batches(_BATCH, columns=list(_COLUMNS)):
        known = pc.and_(pc.is_valid(batch["features"]), pc.is_valid(batch["output"]))
        yield from batch.filter(known).to_pylist()


async def predict_rows(
    task: Task, version: Path, rows: Iterable[Mapping[str, Any]]
) -> AsyncIterator[tuple[Mapping[str, Any], PredictionResult | Rejected]]:
    """Of each row, what the version says; in the rows' order. Raises `Rejected` for features that can't be read."""
    predictor, rest = Predictor(task, LocalModel(version), max_attempts=1), iter(rows)
    model = ModelRef(name=task.name, version="0")
    while batch := list(islice(rest, _BATCH)):
        asked = [Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"])) for row in batch]
        for pair in zip(batch, await predictor(model, asked), strict=True):
            yield pair


async def _replay_rows(
    task: Task, version: Path, file: pq.ParquetFile, on_step: OnStep, since: datetime | None
) -> list[_RowResult]:
    found, total = list[_RowResult](), file.metadata.num_rows
    async for row, answer in predict_rows(task, version, served_rows(file)):
        if len(found) % _BATCH == 0:
            on_step("replaying history", len(found), total)
        said = answer.prediction.output if isinstance(answer, PredictionResult) else None
        found.append(_compare_row(task, row, said, since))
    on_step("replaying history", len(found), total)
    return found


def _compare_row(
    task: Task, row: Mapping[str, Any], said: Mapping[str, Any] | None, since: datetime | None
) -> _RowResult:
    served, probability = json.loads(row["output"]), row["selection_probability"]
    unseen = row["split"] == "test" or (since is not None and row["time"] >= since)
    agreement = None if said is None else score(task, said, served)
    if row["label"] is None or probability is None or not unseen:
        return _RowResult(row["time"], agreement, None, 0.0)
    label = json.loads(row["label"])
    candidate = 0.0 if said is None else score(task, said, label)
    return _RowResult(row["time"], agreement, (candidate, score(task, served, label)), 1 / probability)


def _summarize(found: Sequence[_RowResult], seed: int) -> Backtest:
    scored = [one for one in found if one.scores is not None]
    difference, interval = None, None
    if len(scored) > 1:
        gains = np.array([one.scores[0] - one.scores[1] for one in scored if one.scores])
        weights = np.array([one.weight for one in scored])
        difference, interval = weighted_mean(gains, weights, _LEVEL, np.random.default_rng(seed))
    whole = _summarize_span(found)
    return Backtest(
        **(whole.model_dump() if whole else {"rows": 0, "unanswered": 0, "agreement": None, "outcomes": 0}),
        difference=difference,
        interval=interval,
        spans=tuple(_summarize_spans(found)),
    )


def _summarize_spans(found: Sequence[_RowResult]) -> Iterator[BacktestSpan]:
    """Of equal length, in the order of time; those without a row are left out."""
    if not found:
        return
    times = [one.time for one in found]
    first, length = min(times), (max(times) - min(times)) / SPAN_COUNT
    groups: list[list[_RowResult]] = [[] for _ in range(SPAN_COUNT)]
    for one in found:
        groups[min(SPAN_COUNT - 1, int((one.time - first) / length)) if length else 0].append(one)
    yield from (span for group in groups if (span := _summarize_span(group)))


def _summarize_span(group: Sequence[_RowResult]) -> BacktestSpan | None:
    if not group:
        return None
    agreements = [one.agreement for one in group if one.agreement is not None]
    scored = [(one.scores, one.weight) for one in group if one.scores is not None]
    weights = [weight for _, weight in scored]
    candidate, served = np.average([both for both, _ in scored], axis=0, weights=weights) if scored else (None, None)
    return BacktestSpan(
        start=min(one.time for one in group),
        end=max(one.time for one in group),
        rows=len(group),
        unanswered=len(group) - len(agreements),
        agreement=float(np.mean(agreements)) if agreements else None,
        outcomes=len(scored),
        score=None if candidate is None else float(candidate),
        score_served=None if served is None else float(served),
    )
