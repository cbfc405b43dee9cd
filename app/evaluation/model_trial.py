"""A trial of a model before it is registered: it answers the task's samples as MLServer would have it answer them.

What would fail only once it serves is found here: fixed sizes, NaN, answers that depend on the rest of the batch, and
outputs of another form than those of the shipped version.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import SetupError
from app.evaluation.held_out import make_prediction_input
from app.evaluation.shipped_comparison import TrialResult, answer_with_shipped, compare_scores, compare_sizes
from app.evaluation.trial_answers import DYNAMIC_SIZES, Outputs, answer_alone, infer_outputs, open_model
from app.inference.local_model import LocalModel
from app.inference.predictor import PaddedShapes, events_per_call, padded_shapes, stack_inputs
from models.base import Asked, Sample, Task

DEMONSTRATIONS = 16
"""Number of the task's demonstrations that a model answers in addition to the samples: inputs of other sizes."""
_SMALL_BATCHES = (2, 3)
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-2, 1e-3
"""Of outputs: kernels round differently for other batch sizes."""


async def try_model(task: Task, path: Path, batch_size: int) -> TrialResult:
    """Let a model answer samples of its task, alone and in batches of up to `batch_size`, as far as calls hold them.

    Raises `SetupError`, with a remedy, if it does not answer all of them well.
    """
    model = open_model(path)
    samples = _samples(task)
    inputs = [make_prediction_input(task, sample) for sample in samples]
    alone = [await answer_alone(task, model, sample, one) for sample, one in zip(samples, inputs, strict=True)]
    groups: dict[PaddedShapes, list[int]] = defaultdict(list)
    for index, one in enumerate(inputs):
        groups[padded_shapes(task, one.features)].append(index)
    for shapes, indices in groups.items():
        largest = min(batch_size, events_per_call(shapes))
        for size in sorted({*(size for size in _SMALL_BATCHES if size < largest), largest}):
            batch = list(islice(cycle(indices), size))
            outputs = [alone[index].outputs for index in batch]
            await _check_batch(task, model, [inputs[index] for index in batch], outputs)
    shipped = await answer_with_shipped(task, samples, inputs)
    compare_sizes(alone, shipped)
    return compare_scores(task, samples, alone, shipped)


def _samples(task: Task) -> list[Sample]:
    """Return the task's samples and some demonstrations, each payload once."""
    samples = (*islice(task.demonstration(0), DEMONSTRATIONS), *task.samples())
    return list({sample.payload: sample for sample in samples}.values())


async def _check_batch(task: Task, model: LocalModel, batch: Sequence[Asked], alone: Sequence[Outputs]) -> None:
    outputs = await infer_outputs(
        task, model, stack_inputs(task, [one.features for one in batch]), f"a batch of {len(batch)} samples"
    )
    for name, output in outputs.items():
        expected = [row[name] for row in alone]
        if any(one.shape[:1] != (1,) for one in expected) or len(output) != len(batch):
            raise SetupError(
                f"The output {name} of a batch of {len(batch)} samples has the shape {output.shape}: its first "
                "dimension is not the batch.",
                DYNAMIC_SIZES,
            )
        if not all(_is_close(row, one[0]) for row, one in zip(output, expected, strict=True)):
            raise SetupError(
                f"The output {name} for a sample depends on the samples that share its batch.",
                "Export it in evaluation mode (model.eval()), so that nothing is normalised over the batch.",
            )


def _is_close(row: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Return whether an output in a batch is that of the event alone, but for zeros at the end of each axis."""
    part = row[tuple(map(slice, expected.shape))] if row.ndim == expected.ndim else row
    if part.shape != expected.shape or (row.size > part.size and np.count_nonzero(row) != np.count_nonzero(part)):
        return False
    if row.dtype.kind != "f":
        return bool(np.array_equal(part, expected))
    return bool(np.allclose(part, expected, rtol=_RELATIVE_TOLERANCE, atol=_ABSOLUTE_TOLERANCE))
