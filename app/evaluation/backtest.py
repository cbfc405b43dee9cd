"""Backtest: compare a version with the served predictions in the history of its task.

The history is a dataset of the log, with a row for each served prediction. The functions that serve make the version's
predictions.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from app.outcomes.audit import audited_rows
from app.settings.gate import MIN_ANSWERED_SHARE
from app.statistics.mean_intervals import clustered_mean
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import ROWS

SPAN_COUNT = 10
_LEVEL = 0.95
_AUDIT_ANSWERED = "audit_answered"
_AUDIT_COLUMNS = ("selection", "selection_probability", _AUDIT_ANSWERED, "label")
_BATCH = 64
_COLUMNS = (
    *("prediction_id", "entity", "time", "features", "tensors", "output", "label", "split"),
    *("selection", "selection_probability"),
)


@dataclass(frozen=True)
class _RowResult:
    """The version's result on a row."""

    time: datetime
    agreement: float | None
    """The score of its output with the served output as the label; None if it has no output."""
    scores: tuple[float, float] | None
    """Scores of the version and of the served output; None if they can't be compared."""
    weight: float
    entity: str | None
    audit: Mapping[str, Any] | None
    """The columns that say whether the audit is answered; None if the version may have learned from the row."""


def backtest(task: Task, version: Path, dataset: Path, on_step: OnStep, new_since: datetime | None = None) -> Backtest:
    """Backtest a version, a `model.onnx`, on the rows of a dataset that have features. Raises `Untrainable`.

    Scores come from the audit sample in the split `test`, which no training sees. From `new_since` on they come from
    every split, because the version can't have learned from these requests. They come from a stretch of time in which
    enough of the audit is answered.
    """
    try:
        with pq.ParquetFile(dataset / ROWS) as file:
            results = asyncio.run(_replay_rows(task, version, file, on_step, new_since))
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{dataset / ROWS} can't be read as a dataset of `hindsight replay`: {error}") from error
    return _summarize(results)


def served_rows(file: pq.ParquetFile) -> Iterator[Mapping[str, Any]]:
    """Yield a dataset's rows that have features and an output, in order of time, with one batch in memory."""
    added = {_AUDIT_ANSWERED} & set(file.schema_arrow.names)  # older releases wrote no such column
    for batch in file.iter_batches(_BATCH, columns=[*_COLUMNS, *added]):
        complete = pc.and_(pc.is_valid(batch["features"]), pc.is_valid(batch["output"]))
        yield from ({_AUDIT_ANSWERED: None} | row for row in batch.filter(complete).to_pylist())


async def predict_rows(
    task: Task, version: Path, rows: Iterable[Mapping[str, Any]]
) -> AsyncIterator[tuple[Mapping[str, Any], PredictionResult | Rejected]]:
    """Yield each row with the version's prediction, in order. Raises `Rejected` if features can't be read."""
    predictor, rest = Predictor(task, LocalModel(version), max_attempts=1), iter(rows)
    model = ModelRef(name=task.name, version="0")
    while batch := list(islice(rest, _BATCH)):
        inputs = [Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"])) for row in batch]
        for pair in zip(batch, await predictor(model, inputs), strict=True):
            yield pair


async def _replay_rows(
    task: Task, version: Path, file: pq.ParquetFile, on_step: OnStep, since: datetime | None
) -> list[_RowResult]:
    results, total = list[_RowResult](), file.metadata.num_rows
    async for row, result in predict_rows(task, version, served_rows(file)):
        if len(results) % _BATCH == 0:
            on_step("replaying history", len(results), total)
        output = result.prediction.output if isinstance(result, PredictionResult) else None
        results.append(_compare_row(task, row, output, since))
    on_step("replaying history", len(results), total)
    return results


def _compare_row(
    task: Task, row: Mapping[str, Any], output: Mapping[str, Any] | None, since: datetime | None
) -> _RowResult:
    served, probability = json.loads(row["output"]), row["selection_probability"]
    unseen = row["split"] == "test" or (since is not None and row["time"] >= since)
    result = _RowResult(
        time=row["time"],
        agreement=None if output is None else score(task, output, served),
        scores=None,
        weight=0.0,
        entity=row["entity"],
        audit={name: row[name] for name in _AUDIT_COLUMNS} if unseen else None,
    )
    if row["label"] is None or probability is None or not unseen:
        return result
    label = json.loads(row["label"])
    candidate = 0.0 if output is None else score(task, output, label)
    return replace(result, scores=(candidate, score(task, served, label)), weight=1 / probability)


def _summarize(all_results: Sequence[_RowResult]) -> Backtest:
    unseen = [index for index, row in enumerate(all_results) if row.audit is not None]
    audit = audited_rows((row.audit for row in all_results if row.audit is not None), MIN_ANSWERED_SHARE)
    counted = {unseen[position] for position in audit.counted}
    results = [row if index in counted else replace(row, scores=None) for index, row in enumerate(all_results)]
    scored = [row for row in results if row.scores is not None]
    difference, interval = None, None
    entities = [index if row.entity is None else row.entity for index, row in enumerate(scored)]
    if len(set(entities)) > 1:
        gains = np.array([row.scores[0] - row.scores[1] for row in scored if row.scores])
        weights = np.array([row.weight for row in scored])
        difference, interval = clustered_mean(gains, weights, entities, _LEVEL)
    total = _summarize_span(results)
    return Backtest(
        **(total.model_dump() if total else {"rows": 0, "unanswered": 0, "agreement": None, "outcomes": 0}),
        difference=difference,
        interval=interval,
        spans=tuple(_summarize_spans(results)),
        selected=audit.share.selected,
        answered=audit.share.answered,
    )


def _summarize_spans(results: Sequence[_RowResult]) -> Iterator[BacktestSpan]:
    """Yield the summaries of spans of equal length, in order of time, without empty spans."""
    if not results:
        return
    times = [row.time for row in results]
    first, length = min(times), (max(times) - min(times)) / SPAN_COUNT
    groups: list[list[_RowResult]] = [[] for _ in range(SPAN_COUNT)]
    for row in results:
        groups[min(SPAN_COUNT - 1, int((row.time - first) / length)) if length else 0].append(row)
    yield from (span for group in groups if (span := _summarize_span(group)))


def _summarize_span(group: Sequence[_RowResult]) -> BacktestSpan | None:
    if not group:
        return None
    agreements = [row.agreement for row in group if row.agreement is not None]
    scored = [(row.scores, row.weight) for row in group if row.scores is not None]
    weights = [weight for _, weight in scored]
    candidate, served = (
        np.average([scores for scores, _ in scored], axis=0, weights=weights) if scored else (None, None)
    )
    return BacktestSpan(
        start=min(row.time for row in group),
        end=max(row.time for row in group),
        rows=len(group),
        unanswered=len(group) - len(agreements),
        agreement=float(np.mean(agreements)) if agreements else None,
        outcomes=len(scored),
        score=None if candidate is None else float(candidate),
        score_served=None if served is None else float(served),
    )
