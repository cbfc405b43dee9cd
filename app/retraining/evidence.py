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

from app.evaluation import asked_of, held_out_samples
from app.events import ModelRef
from app.inference.local import LocalModel
from app.inference.predict import Predicted, Predictor
from app.lifecycle import Backtest
from app.retraining.gate import Evidence, Pair
from app.retraining.scoring import score
from models import tensors
from models.base import Asked, OnStep, Rejected, Task, Untrainable
from models.datasets import MANIFEST, ROWS
from models.off_policy import Estimate
from models.training import evaluate_off_policy

_BATCH = 64
_TIMED = 50
"""So many predictions, one by one, say how long one takes."""
_COLUMNS = ("prediction_id", "features", "tensors", "label", "split", "selection", "selection_probability")
_ESTIMATOR = "dr"


@dataclass(frozen=True)
class Question:
    """Something to predict whose truth is known."""

    asked: Asked
    label: Mapping[str, Any]
    weight: float = 1.0
    slices: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Contest:
    """Two versions of a task's model, as `model.onnx` files."""

    task: Task
    candidate: Path
    champion: Path


def gather(contest: Contest, dataset: Path, slices: Sequence[str], history: Backtest, on_step: OnStep) -> Evidence:
    """Measure both; of the candidate's backtest, `history`, the gate is told how much it leaves unanswered.

    Raises `Untrainable` for a dataset that can't be read.
    """
    task = contest.task
    outcomes = list(held_out(dataset, slices))
    on_step("held-out outcomes", 0, None)
    on_outcomes = list(zip(*_scores(contest, outcomes), strict=True))
    on_step("original test set", 0, None)
    original = list(zip(*_scores(contest, list(_original(task))), strict=True))
    on_step("latency", 0, None)
    return Evidence(
        pairs=[
            Pair(*scores, weight=one.weight, slices=one.slices or {})
            for one, scores in zip(outcomes, on_outcomes, strict=True)
        ],
        original=original,
        unanswered=(history.unanswered, history.rows),
        off_policy=_off_policy(contest, dataset, on_step),
        latency_ms=_latencies(contest, [one.asked for one in outcomes][:_TIMED]),
        size_bytes=contest.candidate.stat().st_size,
    )


def held_out(dataset: Path, slices: Sequence[str]) -> Iterator[Question]:
    """Rows of the split `test` whose label was not chosen by whoever gave it: that were to be looked at anyhow.

    Raises `Untrainable` for a dataset that can't be read, or lacks a column that is to be a slice.
    """
    path = dataset / ROWS
    try:
        with pq.ParquetFile(path) as file:
            if lacking := sorted(set(slices) - set(file.schema_arrow.names)):
                raise Untrainable(f"A dataset has no column {', '.join(lacking)}: it can't be a slice.")
            for batch in file.iter_batches(_BATCH, columns=list({*_COLUMNS, *slices})):
                yield from (_question(row, slices) for row in batch.to_pylist() if _is_held_out(row))
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{path} can't be read as a dataset of `hindsight replay`: {error}") from error


def _is_held_out(row: Mapping[str, Any]) -> bool:
    known = row["selection_probability"] is not None and row["label"] is not None
    return known and row["split"] == "test" and row["features"] is not None


def _question(row: Mapping[str, Any], slices: Sequence[str]) -> Question:
    return Question(
        Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"])),
        json.loads(row["label"]),
        1 / row["selection_probability"],
        {name: str(row[name]) for name in slices},
    )


def _original(task: Task) -> Iterator[Question]:
    for sample in held_out_samples(task):
        yield Question(asked_of(task, sample), sample.correction)


def _scores(contest: Contest, questions: Sequence[Question]) -> tuple[list[float], list[float]]:
    """Of candidate and champion; what a version can't predict scores 0."""
    return (
        asyncio.run(_score(contest.task, contest.candidate, questions)),
        asyncio.run(_score(contest.task, contest.champion, questions)),
    )


async def _score(task: Task, path: Path, questions: Sequence[Question]) -> list[float]:
    predictor, scores = Predictor(task, LocalModel(path), attempts=1), list[float]()
    for batch in _batches(questions):
        answers = await predictor(_ref(task), [one.asked for one in batch])
        for question, answer in zip(batch, answers, strict=True):
            scores.append(score(task, answer.decoded.output, question.label) if isinstance(answer, Predicted) else 0.0)
    return scores


def _batches(questions: Iterable[Question]) -> Iterator[list[Question]]:
    rest = iter(questions)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _latencies(contest: Contest, asked: Sequence[Asked]) -> tuple[float, float]:
    """Of one prediction by each, in milliseconds: the median, both in turn, so that what else runs slows both."""
    if not asked:
        return 0.0, 0.0
    return asyncio.run(_timed(contest, asked))


async def _timed(contest: Contest, asked: Sequence[Asked]) -> tuple[float, float]:
    predictors = [Predictor(contest.task, LocalModel(path), 1) for path in (contest.candidate, contest.champion)]
    times: tuple[list[float], list[float]] = [], []
    for one in (asked[0], *asked):  # the first is for warming up
        for predictor, found in zip(predictors, times, strict=True):
            started = time.perf_counter()
            await predictor(_ref(contest.task), [one])
            found.append((time.perf_counter() - started) * 1000)
    candidate, champion = (median(found[1:]) for found in times)
    return candidate, champion


def _off_policy(contest: Contest, dataset: Path, on_step: OnStep) -> Estimate | None:
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


def _ref(task: Task) -> ModelRef:
    return ModelRef(name=task.name, version="0")
