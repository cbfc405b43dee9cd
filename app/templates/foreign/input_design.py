"""From the inputs of a model to what a task sends to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.templates.foreign.hints import Hints
from app.templates.foreign.hugging_face import SEQ2SEQ
from app.templates.foreign.model_file import ModelFile, TensorFacts
from app.templates.foreign.notes import Notes, unusable
from models.foreign.detection_head import DetectionHead
from models.foreign.inputs import ConstantInput, ImageInput, ModelInput, NumbersInput, SamplesInput
from models.foreign.options import Tensors

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LINE_WIDTH, MAX_LINE_WIDTH = 320, 2_048
MAX_LINE_HEIGHT = 64
_TOKENS = ("input_ids", "decoder", "past_key_values", "encoder_hidden_states")
_DEPTHS = (1, 3)


@dataclass(frozen=True)
class InputDesign:
    """The input that is made of an event, and those that are always the same."""

    input: ModelInput
    constants: tuple[ConstantInput, ...] = ()

    def feeds(self, model: ModelFile, features: Tensors) -> Tensors:
        """Return the model's inputs for a batch of features."""
        from models.runtimes.onnx import DTYPES

        dtypes = {tensor.name: DTYPES[tensor.type] for tensor in model.inputs}
        batch = len(next(iter(features.values())))
        constants = {constant.name: constant.feed(batch, dtypes) for constant in self.constants}
        return self.input.feeds(features, dtypes) | constants


def design_input(model: ModelFile, hints: Hints, notes: Notes) -> InputDesign:
    """Return what the inputs are made of. Raises `SetupError` for those that no kind of payload becomes."""
    if any(part in tensor.name for tensor in model.inputs for part in _TOKENS):
        raise SEQ2SEQ
    model.check_inputs()
    pictures = [tensor for tensor in model.inputs if _depth_axis(tensor) is not None]
    if len(pictures) == 1:
        image = _image(pictures[0], hints, notes)
        others = [tensor for tensor in model.inputs if tensor is not pictures[0]]
        return InputDesign(image, tuple(_constant(tensor, image, notes) for tensor in others))
    first = model.inputs[0]
    if len(model.inputs) == 1 and len(first.shape) == 2 and first.shape[1] is None and hints.columns is None:
        notes.assumed.append(f"{first.name} takes a recording at 16 kHz, in values from -1 to 1")
        return InputDesign(SamplesInput(name=first.name, standardised=bool(hints.standardised)))
    return InputDesign(_numbers(model.inputs, hints, notes))


def _depth_axis(tensor: TensorFacts) -> int | None:
    """Return the axis of a picture's channels, None if it is no picture."""
    if len(tensor.shape) != 4:
        return None
    return next((axis for axis in (1, 3) if tensor.shape[axis] in _DEPTHS), None)


def _image(tensor: TensorFacts, hints: Hints, notes: Notes) -> ImageInput:
    axis = _depth_axis(tensor)
    assert axis is not None
    height, width = tensor.shape[2:] if axis == 1 else tensor.shape[1:3]
    is_line = height is not None and height <= MAX_LINE_HEIGHT and width is None
    asked = hints.size or (None, None)
    grey = tensor.shape[axis] == 1
    if (asked[0] or height) is None or ((asked[1] or width) is None and not is_line):
        side = 640 if hints.kind == "detection" else 224
        notes.assumed.append(f"pictures are {side} x {side}: the model takes any size; --size sets another")
        asked = (side, side)
    bytes_wanted = tensor.type == "tensor(uint8)"
    return ImageInput(
        name=tensor.name,
        layout="NCHW" if axis == 1 else "NHWC",
        channels="grey" if grey else "BGR" if hints.channels == "BGR" else "RGB",
        height=height or asked[0],
        width=width or (None if is_line else asked[1]),
        scale=1.0 if bytes_wanted else 1 / 255,
    )


def normalised(image: ImageInput, kind: str, detector: DetectionHead | None, hints: Hints, notes: Notes) -> ImageInput:
    """Return the input with the normalisation that hints name, or that models of this kind mostly have."""
    yolox = detector is not None and detector.unit == "cells"
    if image.channels != "grey" and hints.channels is None:
        image = image.model_copy(update={"channels": "BGR" if yolox else "RGB"})
        notes.assumed.append(f"channels are in the order {image.channels}; --channels sets the other")
    if image.scale == 1.0:  # it takes bytes
        return image
    depth = 1 if image.channels == "grey" else 3
    scale, mean, std = hints.scale, hints.mean, hints.std
    if (scale, mean, std) == (None, None, None):
        if yolox:
            scale, who = 1.0, "YOLOX has it: 0 to 255"
        elif detector and detector.form in ("columns", "rows"):
            who = "YOLO has it: 0 to 1"
        elif kind == "ctc" or depth == 1:
            mean, std, who = (0.5,) * depth, (0.5,) * depth, "most recognisers have it: -1 to 1"
        else:
            mean, std, who = IMAGENET_MEAN, IMAGENET_STD, "models of ImageNet have it: 0 to 1, less mean, by deviation"
        notes.assumed.append(f"values are normalised as {who}; --scale, --mean and --std set another")
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values or ()) not in (0, 1, depth):
            raise unusable(
                f"{option} has {len(values or ())} values and pictures {depth} channels", "Give one for each."
            )
    update = {"scale": 1 / 255 if scale is None else scale, "mean": mean or (0.0,), "std": std or (1.0,)}
    return image.model_copy(update=update)


def _constant(tensor: TensorFacts, image: ImageInput, notes: Notes) -> ConstantInput:
    size = (image.height or 0, image.width or 0)
    shape: tuple[int, ...] = (2,)
    values: tuple[int, ...] = size
    if "mask" in tensor.name and len(tensor.shape) == 3:
        shape, values = (tensor.shape[1] or size[0], tensor.shape[2] or size[1]), (1,)
    elif len(tensor.shape) != 2 or tensor.shape[1] != 2:
        raise unusable(
            f"besides the picture it has the input {tensor}", "Export it with the picture as its only input."
        )
    elif "scale" in tensor.name:
        values = (1, 1)
    notes.assumed.append(f"the input {tensor.name} is always {', '.join(map(str, values))}")
    return ConstantInput(name=tensor.name, shape=shape, values=values)


def _numbers(inputs: Sequence[TensorFacts], hints: Hints, notes: Notes) -> NumbersInput:
    names = tuple(tensor.name for tensor in inputs)
    counts = [tensor.shape[1] if len(tensor.shape) == 2 else None for tensor in inputs]
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        count = counts[0] or len(hints.columns or ())
        columns = hints.columns or tuple(f"column_{number}" for number in range(count))
        if len(columns) != count:
            raise unusable(
                f"it takes {count} numbers and {len(columns)} columns are named", "Name each with --columns."
            )
        if hints.columns is None:
            notes.assumed.append(f"the {count} numbers have no names; --columns names them")
        return NumbersInput(names=names, columns=columns)
    if all(count == 1 for count in counts):
        return NumbersInput(names=names, columns=names)
    raise unusable(
        f"its inputs are neither one picture, one recording, nor numbers: {', '.join(map(str, inputs))}",
        "Write the task yourself: `hindsight new-task` without --from.",
    )


def trial_features(design: ModelInput, batch: int) -> Tensors:
    """Return random features; two calls give the same."""
    rng = np.random.default_rng(0)
    match design:
        case ImageInput():
            depth = 1 if design.channels == "grey" else 3
            shape = (batch, design.height or 0, design.width or LINE_WIDTH, depth)
            return {"image": rng.integers(0, 256, shape).astype(np.uint8)}
        case SamplesInput():
            return {"samples": rng.integers(-3000, 3000, (batch, 16_000)).astype(np.int16)}
        case NumbersInput():
            return {"numbers": rng.normal(scale=10, size=(batch, len(design.columns)))}
