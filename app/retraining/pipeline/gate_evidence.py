"""What the gate judges: candidate and champion, measured alike on held-out outcomes and on the original test set."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.evaluation.held_out import held_out_samples, make_prediction_input
from app.evaluation.scoring import score
from app.events.base import ModelRef
from app.events.model_events import Backtest
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.retraining.pipeline.gate import GateEvidence, PairedScore
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import MANIFEST, ROWS
from models.off_policy import Estimate
from models.training import evaluate_off_policy

_BATCH = 64
_TIMED_PREDICTIONS = 50
"""So many predictions, one by one, say how long one takes."""
_COLUMNS = ("prediction_id", "features", "tensors", "label", "split", "selection", "selection_probability")
_ESTIMATOR = "dr"


@dataclass(frozen=True)
class LabelledExample:
    """Something to predict whose truth is known."""

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
    contest: VersionPair, dataset: Path, slices: Sequence[str], history: Backtest, on_step: OnStep
) -> GateEvidence:
    """Measure both; of the candidate's backtest, `history`, the gate is told how much it leaves unanswered.

    Raises `Untrainable` for a dataset that can't be read.
    """
    task = contest.task
    outcomes = list(held_out_examples(dataset, slices))
    on_step("held-out outcomes", 0, None)
    on_outcomes = list(zip(*_score_both(contest, outcomes), strict=True))
    on_step("original test set", 0, None)
    original = list(zip(*_score_both(contest, list(_original_examples(task))), strict=True))
    on_step("latency", 0, None)
    return GateEvidence(
        pairs=[
            PairedScore(*scores, weight=one.weight, slices=one.slices or {})
            for one, scores in zip(outcomes, on_outcomes, strict=True)
        ],
        original_scores=original,
        unanswered=(history.unanswered, history.rows),
        off_policy=_off_policy_difference(contest, dataset, on_step),
        latency_ms=_median_latencies(contest, [one.prediction_input for one in outcomes][:_TIMED_PREDICTIONS]),
        size_bytes=contest.candidate.stat().st_size,
    )


def held_out_examples(dataset: Path, slices: Sequence[str]) -> Iterator[LabelledExample]:
    """Rows of the split `test` whose label was not chosen by whoever gave it: that were to be looked at anyhow.

    Raises `Untrainable` for a dataset that can't be read, or lacks a column that is to be a slice.
    """
    path = dataset / ROWS
    try:
        with pq.ParquetFile(path) as file:
            if lacking := sorted(set(slices) - set(file.schema_arrow.names)):
                raise Untrainable(f"A dataset has no column {', '.join(lacking)}: it can't be a slice.")
            for batch in file.iter_batches(_BATCH, columns=list({*_COLUMNS, *slices})):
                yield from (_labelled_example(row, slices) for row in batch.to_pylist() if _is_held_out(row))
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{path} can't be read as a dataset of `hindsight replay`: {error}") from error


def _is_held_out(row: Mapping[str, Any]) -> bool:
    known = row["selection_probability"] is not None and row["label"] is not None
    return known and row["split"] == "test" and row["features"] is not None


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


def _score_both(contest: VersionPair, questions: Sequence[LabelledExample]) -> tuple[list[float], list[float]]:
    """Of candidate and champion; what a version can't predict scores 0."""
    return (
        asyncio.run(_score_version(contest.task, contest.candidate, questions)),
        asyncio.run(_score_version(contest.task, contest.champion, questions)),
    )


async def _score_version(task: Task, path: Path, questions: Sequence[LabelledExample]) -> list[float]:
    predictor, scores = Predictor(task, LocalModel(path), max_attempts=1), list[float]()
    for batch in _batches(questions):
        answers = await predictor(_model_ref(task), [one.prediction_input for one in batch])
        for question, answer in zip(batch, answers, strict=True):
            scores.append(
                score(task, answer.prediction.output, question.label) if isinstance(answer, PredictionResult) else 0.0
            )
    return scores


def _batches(questions: Iterable[LabelledExample]) -> Iterator[list[LabelledExample]]:
    rest = iter(questions)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _median_latencies(contest: VersionPair, asked: Sequence[Asked]) -> tuple[float, float]:
    """Of one prediction by each, in milliseconds: the median, both in turn, so that what else runs slows both."""
    if not asked:
        return 0.0, 0.0
    return asyncio.run(_measure_latencies(contest, asked))


async def _measure_latencies(contest: VersionPair, asked: Sequence[Asked]) -> tuple[float, float]:
    predictors = [Predictor(contest.task, LocalModel(path), 1) for path in (contest.candidate, contest.champion)]
    times: tuple[list[float], list[float]] = [], []
    for one in (asked[0], *asked):  # the first is for warming up
        for predictor, found in zip(predictors, times, strict=True):
            started = time.perf_counter()
            await predictor(_model_ref(contest.task), [one])
            found.append((time.perf_counter() - started) * 1000)
    candidate, champion = (median(found[1:]) for found in times)
    return candidate, champion


def _off_policy_difference(contest: VersionPair, dataset: Path, on_step: OnStep) -> Estimate | None:
    """What the candidate would have earned more than the champion; None for a task whose outputs are no choices.

    On the split `test` alone: on what it was fitted to, any candidate looks good.
    """
    if contest.task.off_policy_evaluator is None:
        return None
    with suppress(Untrainable), TemporaryDirectory() as directory:
        shutil.copy(dataset / MANIFEST, directory)
        pq.write_table(pq.read_table(dataset / ROWS, filters=[("split", "=", "test")]), Path(directory) / ROWS)
        versions = [contest.candidate, contest.champion]
        candidate, champion = evaluate_off_policy(contest.task, Path(directory), versions, 0, on_step)
        return candidate.estimates[_ESTIMATOR].minus(champion.estimates[_ESTIMATOR])
    return None


def _model_ref(task: Task) -> ModelRef:
    return ModelRef(name=task.name, version="0")
