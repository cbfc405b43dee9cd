"""Datasets on disk, as `hindsight replay` writes them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.replay.dataset import MANIFEST_FILE, ROWS_FILE, SCHEMA, write_manifest
from models import tensors

START = datetime(2026, 1, 1, tzinfo=UTC)


def write_dataset(directory: Path, values: list[dict[str, Any]], content_hash: str = "") -> Path:
    """Write a dataset; columns that are not given are null."""
    table = pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in values], SCHEMA)
    pq.write_table(table, directory / ROWS_FILE)
    write_manifest(directory / MANIFEST_FILE, {"content_hash": content_hash, "rows": len(values)})
    return directory


def text_row(image: NDArray[Any], text: str, split: str = "train", **more: Any) -> dict[str, Any]:
    """Return a row of an image that was served as `text`; `label` is a text too."""
    data, declaration = tensors.encode({"image": image, "width": np.array(image.shape[1], np.int32)})
    if (label := more.pop("label", None)) is not None:
        more["label"] = json.dumps({"text": label})
    output = json.dumps({"text": text})
    return {"features": data, "tensors": declaration, "output": output, "split": split, "propensity": 1.0, **more}


def scale_row(
    number: int, predicted_weight: float = 7.0, reading: NDArray[Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Return a row of an object that weighs 7, `number` minutes after the start."""
    data, declaration = tensors.encode({"reading": np.array([7.0, 1.0], np.float32) if reading is None else reading})
    row: Mapping[str, Any] = {
        "prediction_id": str(number),
        "time": START + timedelta(minutes=number),
        "features": data,
        "tensors": declaration,
        "output": json.dumps({"weight": predicted_weight}),
        "label": json.dumps({"weight": 7.0}),
        "split": "test",
        "selection": "audit",
        "selection_probability": 1.0,
    }
    return {**row, **more}
