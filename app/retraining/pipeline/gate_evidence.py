"""The gate's evidence: measurements of candidate and champion on held-out outcomes and on the original test set."""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from app.retraining.pipeline.gate import GateEvidence, PairedScore, too_few_outcomes
from app.retraining.pipeline.gate_rewards import any_inputs, gather_reward_evidence, missing_rewards
from app.settings.gate import GateSettings
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import ROWS

_BATCH = 64
_TIMED_PREDICTIONS = 50
"""The number of single predictions that measure the latency."""
_COLUMNS = ("prediction_id", "features", "tensors", "label", "split", "selection", "selection_probability")


@dataclass(frozen=True)
class LabelledExample:
    """An input whose label is known."""

    prediction_input: Asked
    label: Mapping[str, Any]
    weight: float = 1.0
    slices: Mapping[str, str] | None = None


@dataclass(frozen=True)
class VersionPair:
    """Two versions of a task's model, as `model.onnx` files."""

    task: Task
    candidate: Path
    champion: Path


def gather_gate_evidence(
    pair: VersionPair, dataset: Path, slices: Sequence[str], history: Backtest, on_step: OnStep
) -> GateEvidence:
    """Measure both versions. The candidate's backtest, `history`, gives the unanswered predictions.

    Raises `Untrainable` if the dataset can't be read.
    """
    task = pair.task
    outcomes = list(held_out_examples(dataset, slices))
    on_step("held-out outcomes", 0, None)
    outcome_scores = list(zip(*_score_both(pair, outcomes), strict=True))
    on_step("original test set", 0, None)
    original = list(zip(*_score_both(pair, list(_original_examples(task))), strict=True))
    on_step("latency", 0, None)
    return GateEvidence(
        pairs=[
            PairedScore(*scores, weight=outcome.weight, slices=outcome.slices or {})
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
    )


def missing_evidence(task: Task, champion: Path, dataset: Path, bounds: GateSettings, on_step: OnStep) -> str | None:
    """Return why any candidate of this dataset would be refused: too few held-out outcomes and rewards. None if not.

    Raises `Untrainable` if the dataset can't be read.
    """
    on_step("held-out outcomes", 0, None)
    too_few = too_few_outcomes(sum(1 for _ in held_out_examples(dataset, ())), bounds)
    if too_few is None or (missing := missing_rewards(task, dataset, champion, on_step)) is None:
        return None
    return f"{too_few} {missing}".strip()


def held_out_examples(dataset: Path, slices: Sequence[str]) -> Iterator[LabelledExample]:
    """Yield the labelled rows of the split `test` that have a known selection probability: not those of volunteers.

    Raises `Untrainable` if the dataset can't be read, or lacks a column of slices.
    """
    path = dataset / ROWS
    try:
        with pq.ParquetFile(path) as file:
            if missing := sorted(set(slices) - set(file.schema_arrow.names)):
                raise Untrainable(f"A dataset has no column {', '.join(missing)}: it can't be a slice.")
            for batch in file.iter_batches(_BATCH, columns=list({*_COLUMNS, *slices})):
                yield from (_labelled_example(row, slices) for row in batch.to_pylist() if _is_held_out(row))
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{path} can't be read as a dataset of `hindsight replay`: {error}") from error


def _is_held_out(row: Mapping[str, Any]) -> bool:
    is_labelled = row["selection_probability"] is not None and row["label"] is not None
    return is_labelled and row["split"] == "test" and row["features"] is not None


def _labelled_example(row: Mapping[str, Any], slices: Sequence[str]) -> LabelledExample:
    return LabelledExample(
        Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"])),
        json.loads(row["label"]),
        1 / row["selection_probability"],
        {name: str(row[name]) for name in slices},
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
