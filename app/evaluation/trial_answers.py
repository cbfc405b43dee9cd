"""Answers of a model under trial to samples of its task: outputs and predictions that can be sent and used."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import RequestRefused, SetupError
from app.events.base import ModelRef
from app.inference.local_model import LocalModel
from app.inference.predictor import Predictor, stack_inputs
from app.registry.model_format import check_version, load_error, memory_error
from models.base import Asked, Decoded, Features, Rejected, Sample, Task

DYNAMIC_SIZES = (
    "Export it with sizes that may vary: in torch.onnx.export, dynamic_shapes (or dynamic_axes) for the batch, the "
    "first dimension of every input and output, and for each dimension that differs between inputs."
)

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """The outputs of a model for one sample, and its prediction."""

    outputs: Outputs
    prediction: Decoded


def open_model(path: Path) -> LocalModel:
    """Return the version at a path. Raises `SetupError` if it is none that can be served."""
    check_version(path)
    try:
        return LocalModel(path)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise load_error(error) from error


async def answer_alone(task: Task, model: LocalModel, sample: Sample, one: Asked) -> Answer:
    """Return the outputs for a sample alone, and the prediction that they lead to, both checked."""
    outputs = await infer_outputs(task, model, stack_inputs(task, [one.features]), f"{sample.name} alone")
    for name, output in outputs.items():
        if output.dtype.kind == "f" and (np.isnan(output) | np.isposinf(output)).any():
            number = "NaN" if np.isnan(output).any() else "infinity"
            raise SetupError(
                f"The output {name} has {number} for the sample {sample.name}.",
                "Train it again: a training that diverges, or an export in half precision, leads to such numbers.",
            )
    [result] = await Predictor(task, model, max_attempts=1)(_reference(task), [one])
    if isinstance(result, Rejected):
        raise SetupError(
            f"The answer to the sample {sample.name} can't be used: {result}.",
            f"Export it with the outputs that {type(task).__name__}.decode reads.",
        )
    if problem := _find_problem(task, result.prediction):
        raise SetupError(
            f"The prediction for the sample {sample.name} is not valid: {problem}.",
            f"Export it with the outputs that {type(task).__name__}.decode reads.",
        )
    return Answer(outputs, result.prediction)


def _find_problem(task: Task, prediction: Decoded) -> str:
    """Return what is wrong with a prediction; empty if nothing is."""
    output = str(prediction.output)[:200]
    try:
        json.dumps(prediction.output, allow_nan=False)
        task.validate_correction(prediction.output)
    except (TypeError, ValueError) as error:  # `Rejected` is a ValueError
        return f"its output is {output}: {error}"
    if not 0 <= prediction.confidence <= 1:
        return f"its confidence is {prediction.confidence}"
    if not 0 < prediction.propensity <= 1:
        return f"its propensity is {prediction.propensity}"
    return ""


async def infer_outputs(task: Task, model: LocalModel, tensors: Features, what: str) -> Outputs:
    """Return the outputs for a batch, which `what` names. Raises `SetupError` if the model can't take it."""
    if fixed := _find_fixed_size(model, tensors):
        raise SetupError(f"The model can't take {what}: {fixed}.", DYNAMIC_SIZES)
    try:
        return await model.infer(_reference(task), tensors)
    except RequestRefused as error:
        if out_of_memory := memory_error(error):
            raise out_of_memory from error
        takes = ", ".join(f"{name} {tensor.dtype} {tensor.shape}" for name, tensor in tensors.items())
        raise SetupError(
            f"The model can't take {what}: {error}.", f"Export it with inputs that take {takes}."
        ) from error


def _find_fixed_size(model: LocalModel, tensors: Features) -> str:
    """Return which dimension has a fixed size that these tensors do not have; empty if there is none."""
    for name, tensor in tensors.items():
        sizes = model.inputs[name].shape if name in model.inputs else ()
        for axis, (size, needed) in enumerate(zip(sizes, tensor.shape, strict=False)):
            if size not in (None, needed):
                return f"its input {name} has the fixed size {size} in dimension {axis}, where {needed} is needed"
    return ""


def _reference(task: Task) -> ModelRef:
    return ModelRef(name=task.name, version="0")
