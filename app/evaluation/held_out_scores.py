"""Scores of versions on labelled examples, such as the held-out outcomes of a dataset."""

import asyncio
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.evaluation.scoring import score
from app.events.base import ModelRef
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.outcomes.audit import AuditedRows, audited_rows
from models import tensors
from models.base import Asked, Rejected, Task, Untrainable
from models.datasets import ROWS

_BATCH = 64
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


def score_version(task: Task, path: Path, examples: Sequence[LabelledExample]) -> list[float]:
    """Return the score of a version, a `model.onnx`, on each example; a failed prediction scores 0."""
    return asyncio.run(_score_version(task, path, examples))


async def _score_version(task: Task, path: Path, examples: Sequence[LabelledExample]) -> list[float]:
    predictor, scores = Predictor(task, LocalModel(path), max_attempts=1), list[float]()
    model = ModelRef(name=task.name, version="0")
    for batch in _batches(examples):
        results = await predictor(model, [example.prediction_input for example in batch])
        for example, result in zip(batch, results, strict=True):
            scores.append(
                score(task, result.prediction.output, example.label) if isinstance(result, PredictionResult) else 0.0
            )
    return scores


def _batches(examples: Iterable[LabelledExample]) -> Iterator[list[LabelledExample]]:
    remaining = iter(examples)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
