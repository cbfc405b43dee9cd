"""The gate's evidence: measurements of candidate and champion on held-out outcomes and on the original test set."""

import asyncio
import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.evaluation.held_out import held_out_samples, make_prediction_input
from app.evaluation.scoring import score
from app.events.base import ModelRef
from app.events.model_events import Backtest
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.outcomes.audit import AuditedRows, audited_rows
from app.retraining.pipeline.gate import GateEvidence, PairedScore, too_few_outcomes
from app.retraining.pipeline.gate_rewards import any_inputs, gather_reward_evidence, missing_rewards
from app.settings.gate import MIN_ANSWERED_SHARE, GateSettings
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import ROWS

_BATCH = 64
_TIMED_PREDICTIONS = 50
"""The number of single predictions that measure the latency."""
_AUDIT_COLUMNS = ("selection", "selection_probability", "audit_answered", "label")
_COLUMNS = ("prediction_id", "entity", "time", "features", "tensors", "label", "selection_probability")


@dataclass(frozen=True)
class LabelledExample:
    """An input whose label is known."""

    prediction_input: Asked
    label: Mapping[str, Any]
    weight: float = 1.0
    slices: Mapping[str, str] | None = None
    entity: str | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class VersionPair:
    """Two versions of a task's model, as `model.onnx` files."""

    task: Task
    candidate: Path
    champion: Path
    first: Path | None = None
    """Version 1, whose score on the original test set must not be forgotten; None if it is the champion."""


def gather_gate_evidence(
    pair: VersionPair,
    dataset: Path,
    slices: Sequence[str],
    history: Backtest,
    on_step: OnStep,
    min_answered_share: float = MIN_ANSWERED_SHARE,
    earlier_evaluations: Sequence[datetime] = (),
) -> GateEvidence:
    """Measure both versions. The candidate's backtest, `history`, gives the unanswered predictions.

    Raises `Untrainable` if the dataset can't be read.
    """
    task = pair.task
    audit = held_out_audit(dataset, min_answered_share)
    outcomes = list(held_out_examples(dataset, slices, audit))
    on_step("held-out outcomes", 0, None)
    outcome_scores = list(zip(*_score_both(pair, outcomes), strict=True))
    on_step("original test set", 0, None)
    examples = list(_original_examples(task))
    original = list(zip(*_score_both(pair, examples), strict=True))
    first_scores = asyncio.run(_score_version(task, pair.first, examples)) if pair.first else []
    on_step("latency", 0, None)
    return GateEvidence(
        pairs=[
            PairedScore(*scores, outcome.weight, outcome.slices or {}, outcome.entity, outcome.time)
            for outcome, scores in zip(outcomes, outcome_scores, strict=True)
        ],
        original_scores=original,
        unanswered=(history.unanswered, history.rows),
        off_policy=gather_reward_evidence(task, dataset, pair.candidate, pair.champion, on_step),
        latency_ms=_median_latencies(
            pair,
            [outcome.prediction_input for outcome in outcomes[:_TIMED_PREDICTIONS]]
            or any_inputs(dataset, _TIMED_PREDICTIONS),
        ),
        size_bytes=pair.candidate.stat().st_size,
        audit=audit.share,
        first_scores=first_scores,
        earlier_evaluations=earlier_evaluations,
    )


def missing_evidence(task: Task, champion: Path, dataset: Path, bounds: GateSettings, on_step: OnStep) -> str | None:
    """Return why any candidate of this dataset would be refused: too few held-out outcomes and rewards. None if not.

    Raises `Untrainable` if the dataset can't be read.
    """
    on_step("held-out outcomes", 0, None)
    audit = held_out_audit(dataset, bounds.min_answered_share)
    count = sum(1 for _ in held_out_examples(dataset, (), audit))
    too_few = too_few_outcomes(count, bounds, audit.share)
    if too_few is None or (missing := missing_rewards(task, dataset, champion, on_step)) is None:
        return None
    return f"{too_few} {missing}".strip()


def held_out_audit(dataset: Path, min_answered_share: float) -> AuditedRows:
    """Return which rows of the split `test` count as audited, by their positions in that split.

    Raises `Untrainable` if the dataset can't be read.
    """
    with _readable(dataset):
        return audited_rows(_test_rows(dataset, _AUDIT_COLUMNS), min_answered_share)


def held_out_examples(dataset: Path, slices: Sequence[str], audit: AuditedRows) -> Iterator[LabelledExample]:
    """Yield the rows of the split `test` that count as audited and have features, in the order of time.

    Raises `Untrainable` if the dataset can't be read, or lacks a column of slices.
    """
    with _readable(dataset):
        for position, row in enumerate(_test_rows(dataset, {*_COLUMNS, *slices})):
            if position in audit.counted and row["features"] is not None:
                yield _labelled_example(row, slices)


@contextmanager
def _readable(dataset: Path) -> Iterator[None]:
    """Turn all errors of a damaged dataset into `Untrainable`."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{dataset / ROWS} can't be read as a dataset of `hindsight replay`: {error}") from error


def _test_rows(dataset: Path, columns: Collection[str]) -> Iterator[Mapping[str, Any]]:
    with pq.ParquetFile(dataset / ROWS) as file:
        present = set(file.schema_arrow.names)
        if missing := sorted(set(columns) - present - {"audit_answered"}):
            raise Untrainable(f"A dataset has no column {', '.join(missing)}: it can't be a slice.")
        for batch in file.iter_batches(_BATCH, columns=sorted({"split", *columns} & present)):
            rows = (row for row in batch.to_pylist() if row["split"] == "test")
            yield from ({"audit_answered": None} | row for row in rows)  # older releases wrote no such column


def _labelled_example(row: Mapping[str, Any], slices: Sequence[str]) -> LabelledExample:
    return LabelledExample(
        Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"])),
        json.loads(row["label"]),
        1 / row["selection_probability"],
        {name: str(row[name]) for name in slices},
        row["entity"],
        row["time"],
    )


def _original_examples(task: Task) -> Iterator[LabelledExample]:
    for sample in held_out_samples(task):
        yield LabelledExample(make_prediction_input(task, sample), sample.correction)


def _score_both(pair: VersionPair, examples: Sequence[LabelledExample]) -> tuple[list[float], list[float]]:
    """Return the scores of candidate and champion; a failed prediction scores 0."""
    return (
        asyncio.run(_score_version(pair.task, pair.candidate, examples)),
        asyncio.run(_score_version(pair.task, pair.champion, examples)),
    )


async def _score_version(task: Task, path: Path, examples: Sequence[LabelledExample]) -> list[float]:
    predictor, scores = Predictor(task, LocalModel(path), max_attempts=1), list[float]()
    for batch in _batches(examples):
        results = await predictor(_model_ref(task), [example.prediction_input for example in batch])
        for example, result in zip(batch, results, strict=True):
            scores.append(
                score(task, result.prediction.output, example.label) if isinstance(result, PredictionResult) else 0.0
            )
    return scores


def _batches(examples: Iterable[LabelledExample]) -> Iterator[list[LabelledExample]]:
    remaining = iter(examples)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _median_latencies(pair: VersionPair, inputs: Sequence[Asked]) -> tuple[float, float]:
    """Return the median latency of one prediction by each version, in milliseconds.

    They take turns, so that other processes slow both.
    """
    if not inputs:
        return 0.0, 0.0
    return asyncio.run(_measure_latencies(pair, inputs))


async def _measure_latencies(pair: VersionPair, inputs: Sequence[Asked]) -> tuple[float, float]:
    predictors = [Predictor(pair.task, LocalModel(path), 1) for path in (pair.candidate, pair.champion)]
    times: tuple[list[float], list[float]] = [], []
    for prediction_input in (inputs[0], *inputs):  # the first one warms up
        for predictor, latencies in zip(predictors, times, strict=True):
            started = time.perf_counter()
            await predictor(_model_ref(pair.task), [prediction_input])
            latencies.append((time.perf_counter() - started) * 1000)
    candidate, champion = (median(latencies[1:]) for latencies in times)
    return candidate, champion


def _model_ref(task: Task) -> ModelRef:
    return ModelRef(name=task.name, version="0")
