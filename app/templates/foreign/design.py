"""From a model and what is said about it to the whole design of its task."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.templates.foreign.detection_design import design_detection, design_labels
from app.templates.foreign.head_design import design_bandit, design_classification, design_ctc
from app.templates.foreign.hints import Hints, from_metadata
from app.templates.foreign.hugging_face import SEQ2SEQ
from app.templates.foreign.input_design import (
    LINE_WIDTH,
    MAX_LINE_WIDTH,
    InputDesign,
    design_input,
    normalised,
    trial_features,
)
from app.templates.foreign.kinds import guess_kind
from app.templates.foreign.model_file import ModelFile
from app.templates.foreign.notes import Notes, unusable
from models.foreign.detection_head import DetectionHead
from models.foreign.inputs import ImageInput, NumbersInput, SamplesInput
from models.foreign.runtime import ForeignOptions, ModelHead, stacked

_TOLERANCE = 1e-3
_BASES = {
    "classification": ("classification", "Classification"),
    "ctc": ("ctc", "Ctc"),
    "detection": ("detection", "Detection"),
    "bandit": ("bandit", "Bandit"),
}
_SOURCES = {
    "image": ("images", "FromImage"),
    "samples": ("recordings", "FromAudio"),
    "numbers": ("numbers", "FromNumbers"),
}


@dataclass(frozen=True)
class Design:
    """A task that is to be written."""

    kind: str
    options: ForeignOptions
    labels: tuple[str, ...]
    attributes: dict[str, Any]
    """Of the class, by name."""
    notes: Notes
    licence: str = ""

    @property
    def bases(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return module and class of the task's two bases: what it is made of, and the kind."""
        return _SOURCES[self.options.input.kind], _BASES[self.kind]


def design_task(model: ModelFile, hints: Hints, kind: str | None, notes: Notes) -> Design:
    """Return the task of a model. Raises `SetupError` for one of no known form."""
    hints = hints.over(from_metadata(model.metadata), "the model's metadata", notes)
    hints = replace(hints, kind=kind or hints.kind)
    if kind == "seq2seq":
        raise SEQ2SEQ
    inputs = design_input(model, hints, notes)
    outputs = _trial(model, inputs)
    size = _size(inputs)
    if kind is None:
        kind, reason = guess_kind(inputs.input, outputs, size, hints)
        notes.known.append(f"kind {kind}: {reason}")
    preliminary = design_detection(outputs, size, hints, Notes()) if kind == "detection" else None
    if isinstance(inputs.input, ImageInput):
        inputs = replace(inputs, input=normalised(inputs.input, kind, preliminary, hints, notes))
        outputs = _trial(model, inputs)
    head, labels = _head(kind, outputs, size, hints, notes)
    one_by_one = _takes_one(model, inputs, head, size, notes)
    attributes = _attributes(inputs, head, hints, notes)
    options = ForeignOptions(
        input=inputs.input,
        constants=inputs.constants,
        head=head,
        one_by_one=one_by_one,
    )
    return Design(kind, options, labels, attributes, notes, hints.licence or "")


def _trial(model: ModelFile, inputs: InputDesign, batch: int = 1) -> dict[str, Any]:
    return model.answer(inputs.feeds(model, trial_features(inputs.input, batch)))


def _size(inputs: InputDesign) -> tuple[int, int]:
    image = inputs.input
    return (image.height or 0, image.width or LINE_WIDTH) if isinstance(image, ImageInput) else (0, 0)


def _head(
    kind: str, outputs: dict[str, Any], size: tuple[int, int], hints: Hints, notes: Notes
) -> tuple[ModelHead, tuple[str, ...]]:
    match kind:
        case "classification":
            return design_classification(outputs, hints, notes)
        case "bandit":
            return design_bandit(outputs, hints, notes)
        case "ctc":
            return design_ctc(outputs, hints, notes)
    head = design_detection(outputs, size, hints, notes)
    if head is None:
        raise unusable(
            f"its outputs are not boxes of a known form: {', '.join(outputs)}",
            "Export it with decoded boxes in one output, as YOLO's exporters do, or with boxes and scores apart.",
        )
    return head, design_labels(head, outputs, hints, notes)


def _takes_one(model: ModelFile, inputs: InputDesign, head: ModelHead, size: tuple[int, int], notes: Notes) -> bool:
    """Return whether events must go in one by one: the batch is fixed, or an event's answer depends on the others."""
    if any(tensor.shape[0] == 1 for tensor in model.inputs):
        notes.known.append("it takes one event at a time, so batches save nothing: export it with a free batch")
        return True
    features = trial_features(inputs.input, 2)
    rows = [{name: tensor[[row]] for name, tensor in features.items()} for row in range(2)]
    try:
        together = head.read(model.answer(inputs.feeds(model, features)), size)
        alone = stacked([head.read(model.answer(inputs.feeds(model, row)), size) for row in rows])
        same = all(np.allclose(together[name], alone[name], atol=_TOLERANCE, rtol=_TOLERANCE) for name in alone)
    except Exception:  # whatever a model raises that was exported for one event
        same = False
    if not same:
        notes.known.append("its answers to events of one batch differ from those to each alone: it gets one at a time")
    return not same


def _attributes(inputs: InputDesign, head: ModelHead, hints: Hints, notes: Notes) -> dict[str, Any]:
    """Return what the class says about its payloads."""
    match inputs.input:
        case NumbersInput(columns=columns):
            return {"columns": columns}
        case SamplesInput():
            return {}
        case ImageInput(height=height, width=width, channels=channels):
            resize = hints.resize or (
                "line" if width is None else "pad" if isinstance(head, DetectionHead) else "stretch"
            )
            if hints.resize is None and width is not None:
                notes.assumed.append(f"pictures are fitted by `{resize}`; --resize sets another")
            return (
                {"height": height, "width": width or MAX_LINE_WIDTH, "resize": resize}
                | ({"shorter": hints.shorter} if resize == "crop" and hints.shorter else {})
                | ({"grey": True} if channels == "grey" else {})
                | ({"padding": 127} if resize == "line" else {})
            )
