"""Times and slices of a dataset's rows, by their predictions' ids.

A slice must not depend on what was drawn: among the rows in which an output was drawn, a policy's value is another one.
So rewards are compared by columns of the request, and by the output that the serving version preferred, whichever it
drew. Outcomes are scored anew, and may be compared by any column.
"""

import json
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.events.cloudevents import MAX_ATTRIBUTE_LENGTH
from models.base import Untrainable
from models.datasets import ROWS

REQUEST_COLUMNS = ("request_source", "entity", "split", "version", "role")
"""Known before an output is drawn."""
CONFIDENCE, PREFERRED = "confidence", "preferred"
_BANDS = (0.5, 0.8, 0.95)


def read_columns(
    dataset: Path, ids: Sequence[str], columns: Sequence[str], rewards: bool
) -> tuple[list[datetime | None], dict[str, list[str]]]:
    """Return the time, and the slice by each column, of these predictions, in their order.

    Raises `Untrainable` for a column that the dataset lacks, or by which `rewards` can't be compared.
    """
    if rewards and (unfit := [name for name in columns if name not in (*REQUEST_COLUMNS, PREFERRED)]):
        raise Untrainable(
            f"Rewards can't be compared by {', '.join(unfit)}: choose from {', '.join((*REQUEST_COLUMNS, PREFERRED))}."
        )
    sources = {name: "output" if name == PREFERRED else name for name in columns}
    try:
        present = pq.read_schema(dataset / ROWS).names
        if missing := sorted(set(sources.values()) - set(present)):
            raise Untrainable(f"A dataset has no column {', '.join(missing)}: it can't be a slice.")
        chosen = pc.field("prediction_id").isin(pa.array(ids, pa.string()))
        names = sorted({"prediction_id", "time", *sources.values()})
        table = pq.read_table(dataset / ROWS, columns=names, filters=chosen)
    except (OSError, pa.ArrowException) as error:
        raise Untrainable(f"{dataset / ROWS} can't be read as a dataset of `hindsight replay`: {error}") from error
    rows = table.take(pc.index_in(pa.array(ids, pa.string()), table["prediction_id"].combine_chunks()))
    slices = {
        name: [_NAMES.get(name, str)(value)[:MAX_ATTRIBUTE_LENGTH] for value in rows[sources[name]].to_pylist()]
        for name in columns
    }
    return rows["time"].to_pylist(), slices


def reward_columns(dataset: Path, declared: Sequence[str]) -> list[str]:
    """Return the declared columns by which rewards can be compared, and `preferred` if outputs have probabilities."""
    with pq.ParquetFile(dataset / ROWS) as file:
        first = next(file.iter_batches(1, columns=["output"]), None)
    has_probabilities = first is not None and _preferred(first["output"][0].as_py()) != _NONE
    return [*(name for name in declared if name in REQUEST_COLUMNS), *([PREFERRED] if has_probabilities else [])]


def outcome_columns(declared: Sequence[str]) -> list[str]:
    """Return the declared columns, and the confidence."""
    return [*declared, CONFIDENCE]


def _band(confidence: float | None) -> str:
    if confidence is None:
        return _NONE
    place = bisect(_BANDS, confidence)
    low, high = (0.0, *_BANDS)[place], (*_BANDS, 1.0)[place]
    return f"{low:g} to {high:g}"


def _preferred(output: str | None) -> str:
    probabilities: Mapping[str, float] = json.loads(output or "{}").get("probabilities") or {}
    return max(probabilities, key=lambda name: probabilities[name]) if probabilities else _NONE


_NONE = "none"
_NAMES: Mapping[str, Callable[[Any], str]] = {CONFIDENCE: _band, PREFERRED: _preferred}
