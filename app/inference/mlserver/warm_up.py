"""Small batches that a version answers before it counts as ready, so that its first request takes as long as others.

The loader makes them of the task's samples and puts them beside the version's files; the runtime answers them when it
is loaded.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.predictor import stack_inputs
from app.settings import MiB
from models.base import Rejected, Task

log = logging.getLogger(__name__)

MAX_BYTES = MiB
"""Larger inputs, such as pages, are left out: they are slow whether the version is warm or not."""
_FILE = ".warm-up.npz"  # no file of a version has a name like this

Batch = dict[str, NDArray[Any]]


def make_batches(task: Task) -> list[Batch]:
    """Return a batch of one sample for each shape that the samples are padded to, the smallest first.

    Inputs of more than `MAX_BYTES` and samples that the task rejects are left out.
    """
    batches: dict[Any, Batch] = {}
    for sample in task.samples():
        try:
            batch = stack_inputs(task, [task.preprocess(sample.payload)])
        except Rejected as error:
            log.warning("the sample %s of %s is left out of the warm-up: %s", sample.name, task.name, error)
            continue
        if _bytes(batch) <= MAX_BYTES:
            batches.setdefault(tuple((name, tensor.shape) for name, tensor in batch.items()), batch)
    return sorted(batches.values(), key=_bytes)


def write(directory: Path, batches: Sequence[Batch]) -> None:
    """Put batches beside a version's files."""
    tensors = {f"{place}/{name}": tensor for place, batch in enumerate(batches) for name, tensor in batch.items()}
    np.savez(directory / _FILE, **tensors)


def read(directory: Path) -> list[Batch]:
    """Return the batches beside a version's files, in order; none if there are none."""
    if not (directory / _FILE).exists():
        return []
    batches: dict[str, Batch] = {}
    with np.load(directory / _FILE, allow_pickle=False) as tensors:
        for key in tensors.files:
            place, name = key.split("/", 1)
            batches.setdefault(place, {})[name] = tensors[key]
    return list(batches.values())


def _bytes(batch: Batch) -> int:
    return sum(tensor.nbytes for tensor in batch.values())
