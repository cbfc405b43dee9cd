"""Datasets as training reads them: the directory that `hindsight replay` wrote, row by row.

`rows.parquet` has a row for each served prediction; `docs/events.md` says what is in each column.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from models import tensors
from models.base import Features, Rejected, Untrainable

ROWS = "rows.parquet"
MANIFEST = "manifest.json"
_COLUMNS = [
    *("features", "tensors", "split", "output", "propensity", "label", "reward", "request_source", "entity", "time"),
    "position_rewards",
    "preferences",
]
_BATCH = 256
_COPIED_ROWS = 4096
"""In memory at a time."""
TEST = pc.field("split") == "test"
"""The rows that no version learns from which a retraining run or `hindsight train` trained."""


class OutputPair(NamedTuple):
    """Two outputs for one request, of which people prefer one."""

    better: dict[str, Any]
    worse: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One served prediction with its feedback.

    `label` is the correct output, `reward` is from -1 to 1; each is None where no feedback gives it.
    `split` is `train`, `validation` or `test`: an entity is in one of them only, for ever.
    """

    features: Features
    split: str
    output: dict[str, Any]
    propensity: float
    label: dict[str, Any] | None
    reward: float | None
    source: str
    """The application that sent the request; ids such as those of episodes are unique within it."""
    prediction_id: str
    entity: str | None = None
    """Whom or what the request is about: rows of one entity are not independent."""
    time: datetime | None = None
    position_rewards: tuple[float, ...] | None = None
    """The rewards of a slate's positions, in their order; a position after the last of them has 0."""
    preferences: Sequence[OutputPair] = ()
    """Comparisons of the served output with others; older releases lack the column."""


def rows(dataset: Path) -> Iterator[Row]:
    """Yield all rows that have features, in the order of the file, a few in memory at a time. Raises `Untrainable`."""
    path = dataset / ROWS
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=["prediction_id", *_COLUMNS]):
                yield from (_row(values) for values in batch.to_pylist() if values["features"] is not None)
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError, Rejected) as error:
        raise Untrainable(f"{path} can't be read as a dataset of `hindsight replay`: {error}") from error


@contextmanager
def held_out_rows(dataset: Path, condition: pc.Expression = TEST) -> Iterator[Path]:
    """Yield a dataset of the rows that meet the condition, all in the split `test`. Raises `Untrainable`."""
    with TemporaryDirectory() as directory:
        try:
            shutil.copy(dataset / MANIFEST, directory)
            source = ds.dataset(dataset / ROWS)
            place, test = source.schema.names.index("split"), pa.field("split", pa.string())
            with pq.ParquetWriter(Path(directory) / ROWS, source.schema.set(place, test)) as writer:
                for batch in source.to_batches(filter=condition, batch_size=_COPIED_ROWS, use_threads=False):
                    table = pa.Table.from_batches([batch])
                    writer.write_table(table.set_column(place, test, pa.array(["test"] * len(table), pa.string())))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise Untrainable(f"{dataset} can't be read as a dataset of `hindsight replay`: {error}") from error
        yield Path(directory)


def content_hash(dataset: Path) -> str:
    """Return the content hash in the manifest. Raises `Untrainable`."""
    try:
        return str(json.loads((dataset / MANIFEST).read_text())["content_hash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Untrainable(f"{dataset} has no manifest such as `hindsight replay` writes: {error}") from error


def _row(values: dict[str, Any]) -> Row:
    label, output = values["label"], json.loads(values["output"])
    return Row(
        tensors.decode(values["features"], values["tensors"]),
        values["split"],
        output,
        values["propensity"],
        None if label is None else json.loads(label),
        values["reward"],
        values["request_source"] or "",
        values["prediction_id"],
        values["entity"],
        values["time"],
        None if (by_position := values.get("position_rewards")) is None else tuple(json.loads(by_position)),
        [_pair(output, preference) for preference in json.loads(values.get("preferences") or "[]")],
    )


def _pair(served: dict[str, Any], preference: Mapping[str, Any]) -> OutputPair:
    other = preference["output"]
    return OutputPair(other, served) if preference["better"] else OutputPair(served, other)


def why_nothing(counts: Mapping[str, int]) -> str:
    """Say why the split `train` teaches nothing, from what was counted in it: `train rewards`, and `left out: ...`."""
    if counts["train rewards"]:
        return "there are no corrections, and all rewards are equal, so none of them shows which output is better"
    left_out = ", ".join(f"{name} ({count})" for name, count in counts.items() if name.startswith("left out"))
    nothing = "no row of the split `train` has a correction or a reward that can be learned from: collect feedback."
    return f"{nothing} {left_out}".strip()
