"""Batches of equal width, for fitting a CTC network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Example(NamedTuple):
    """A signal (height, width) and the numbers of its symbols, 1 and up.

    `weight` above 0 says how much these are to become more probable, below 0 how much less.
    """

    signal: NDArray[Any]
    labels: list[int]
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Examples zero-padded to one width and one number of labels (label 0 is padding)."""

    signals: NDArray[Any]
    widths: NDArray[np.int32]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class CtcFittingPlan:
    """How to fit: the seed of the batches' order, passes over the data, learning rate, columns of a batch.

    A batch holds about `columns` columns: lines times width. `buckets` are the widths that lines are padded to;
    wider lines than the last are left out.
    """

    seed: int = 0
    epochs: int = 2
    rate: float = 2e-3
    decay: float = 1e-2
    warm_up: float = 0.08
    columns: int = 4096
    buckets: tuple[int, ...] = (128, 208, 304, 416, 608)
    scale: float = 1 / 255


def batches(examples: Sequence[Example], plan: CtcFittingPlan, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield all examples once, in an order by chance, lines of about the same width together."""
    for members, shape in grouped(examples, plan, rng):
        yield padded_batch([examples[member] for member in members], shape)


def grouped(
    examples: Sequence[Example], plan: CtcFittingPlan, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], tuple[int, int, int]]]:
    """Yield the places of each batch's examples, with the batch's shape."""
    widths = np.array([example.signal.shape[1] for example in examples])
    bucket = np.searchsorted(plan.buckets, widths)
    longest = -(-max((len(example.labels) for example in examples), default=0) // 16) * 16
    groups = []
    for number, width in enumerate(plan.buckets):
        members = rng.permutation(np.flatnonzero(bucket == number))
        size = max(1, plan.columns // width)
        shape = (size, width, longest)
        groups += [(members[start : start + size], shape) for start in range(0, len(members), size)]
    for chosen in rng.permutation(len(groups)).tolist():
        yield groups[chosen]


def padded_batch(examples: Sequence[Example], shape: tuple[int, int, int]) -> Batch:
    """Return the examples in arrays of a fixed `shape` (rows, width, labels), so that each width is compiled only once.

    Rows to spare are signals of no width.
    """
    size, width, longest = shape
    signal = examples[0].signal
    batch = Batch(
        np.zeros((size, signal.shape[0], width), signal.dtype),
        np.zeros(size, np.int32),
        np.zeros((size, longest), np.int32),
        np.zeros(size, np.float32),
    )
    for row, example in enumerate(examples):
        columns = example.signal.shape[1]
        batch.signals[row, :, :columns] = example.signal
        batch.widths[row] = columns
        batch.labels[row, : len(example.labels)] = example.labels
        batch.weights[row] = example.weight
    return batch
