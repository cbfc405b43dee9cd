"""A trial of a model before it is registered: it answers the task's samples as MLServer would have it answer them.

What would fail only once it serves is found here: fixed sizes, NaN, and answers that depend on the rest of the batch.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import RequestRefused, SetupError
from app.evaluation.held_out import make_prediction_input
from app.events.base import ModelRef
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor, stack_inputs
from app.registry.model_format import check_format, load_error
from models.base import Asked, Features, Rejected, Sample, Task

_SMALL_BATCHES = (2, 3)
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-2, 1e-3
"""Of outputs: kernels round differently for other batch sizes."""
_DYNAMIC = (
    "Export it with sizes that may vary: in torch.onnx.export, dynamic_shapes (or dynamic_axes) for the batch, the "
    "first dimension of every input and output, and for each dimension that differs between inputs."
)

Outputs = dict[str, NDArray[Any]]


async def try_model(task: Task, path: Path, batch_size: int) -> int:
    """Let a model answer each sample of its task, alone and in batches of up to `batch_size`; return their number.

    Raises `SetupError`, with a remedy, if it answers not all of them well.
    """
    model = _load(path)
    samples = task.samples()
    inputs = [make_prediction_input(task, sample) for sample in samples]
    alone = [await _answer_alone(task, model, sample, one) for sample, one in zip(samples, inputs, strict=True)]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, one in enumerate(inputs):
        shapes = task.padded({name: tensor.shape for name, tensor in task.inputs(one.features).items()})
        groups[tuple(shapes.items())].append(index)
    for indices in groups.values():
        for size in sorted({*_SMALL_BATCHES, batch_size}):
            batch = list(islice(cycle(indices), size))
            await _check_batch(task, model, [inputs[index] for index in batch], [alone[index] for index in batch])
    return len(samples)


def _load(path: Path) -> LocalModel:
    check_format(path.read_bytes())
    try:
        return LocalModel(path)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise load_error(error) from error


async def _answer_alone(task: Task, model: LocalModel, sample: Sample, one: Asked) -> Outputs:
    """Return the outputs for a sample alone, after a check of the prediction that they lead to."""
    tensors = stack_inputs(task, [one.features])
    outputs = await _infer(task, model, tensors, f"{sample.name} alone")
    for name, output in outputs.items():
        if output.dtype.kind == "f" and np.isnan(output).any():
            raise SetupError(
                f"The output {name} has NaN for the sample {sample.name}.",
                "Train it again: a training that diverges, or an export in half precision, leads to NaN.",
            )
    [result] = await Predictor(task, model, max_attempts=1)(_reference(task), [one])
    if isinstance(result, Rejected):
        raise SetupError(
            f"The answer to the sample {sample.name} can't be used: {result}.",
            f"Export it with the outputs that {type(task).__name__}.decode reads.",
        )
    _check_prediction(task, sample, result)
    return outputs


def _check_prediction(task: Task, sample: Sample, result: PredictionResult) -> None:
    prediction = result.prediction
    try:
        json.dumps(prediction.output, allow_nan=False)
        valid = 0 <= prediction.confidence <= 1 and 0 < prediction.propensity <= 1
    except (TypeError, ValueError):
        valid = False
    if not valid or not math.isfinite(prediction.confidence):
        raise SetupError(
            f"The prediction for the sample {sample.name} is not valid: its confidence is {prediction.confidence}, "
            f"its propensity {prediction.propensity}, its output {str(prediction.output)[:200]}.",
            f"Export it with the outputs that {type(task).__name__}.decode reads.",
        )


async def _check_batch(task: Task, model: LocalModel, batch: Sequence[Asked], alone: Sequence[Outputs]) -> None:
    outputs = await _infer(
        task, model, stack_inputs(task, [one.features for one in batch]), f"a batch of {len(batch)} samples"
    )
    for name, output in outputs.items():
        expected = [row[name] for row in alone]
        if any(one.shape[:1] != (1,) for one in expected) or len(output) != len(batch):
            raise SetupError(
                f"The output {name} of a batch of {len(batch)} samples has the shape {output.shape}: its first "
                "dimension is not the batch.",
                _DYNAMIC,
            )
        if not all(_is_close(row, one[0]) for row, one in zip(output, expected, strict=True)):
            raise SetupError(
                f"The output {name} for a sample depends on the samples that share its batch.",
                "Export it in evaluation mode (model.eval()), so that nothing is normalised over the batch.",
            )


def _is_close(row: NDArray[Any], expected: NDArray[Any]) -> bool:
    if row.shape != expected.shape:
        return False
    if row.dtype.kind != "f":
        return bool(np.array_equal(row, expected))
    return bool(np.allclose(row, expected, rtol=_RELATIVE_TOLERANCE, atol=_ABSOLUTE_TOLERANCE))


async def _infer(task: Task, model: LocalModel, tensors: Features, what: str) -> Outputs:
    if fixed := _find_fixed_size(model, tensors):
        raise SetupError(f"The model can't take {what}: {fixed}.", _DYNAMIC)
    try:
        return await model.infer(_reference(task), tensors)
    except RequestRefused as error:
        takes = ", ".join(f"{name} {tensor.dtype} {tensor.shape}" for name, tensor in tensors.items())
        raise SetupError(
            f"The model can't take {what}: {error}.", f"Export it with inputs that take {takes}."
        ) from error


def _find_fixed_size(model: LocalModel, tensors: Features) -> str:
    """Return which dimension has a fixed size that these tensors do not have; empty if there is none."""
    for name, tensor in tensors.items():
        for axis, (size, needed) in enumerate(zip(model.input_shapes.get(name, ()), tensor.shape, strict=False)):
            if isinstance(size, int) and size != needed:
                return f"its input {name} has the fixed size {size} in dimension {axis}, where {needed} is needed"
    return ""


def _reference(task: Task) -> ModelRef:
    return ModelRef(name=task.name, version="0")
