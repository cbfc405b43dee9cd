"""Guesses what kind of task a model is of, and says why."""

import numpy as np

from app.templates.foreign.detection_design import design_detection
from app.templates.foreign.head_design import Outputs, are_probabilities, are_shares, class_tables, tables
from app.templates.foreign.hints import Hints
from app.templates.foreign.notes import Notes, unusable
from models.foreign.inputs import ImageInput, ModelInput, SamplesInput

KINDS = ("ctc", "detection", "classification", "seq2seq", "bandit")


def guess_kind(design: ModelInput, outputs: Outputs, size: tuple[int, int], hints: Hints) -> tuple[str, str]:
    """Return the kind and the reason. Raises `SetupError` if there is no telling."""
    if hints.kind:
        return hints.kind, "the files beside it, or its metadata, say so"
    frames = tables(outputs, 3)
    is_line = isinstance(design, SamplesInput) or (isinstance(design, ImageInput) and design.width is None)
    for name, scores in frames.items():
        if 1 in scores.shape[:2] and (is_line or (are_shares(scores) and len(outputs) == 1)):
            return "ctc", f"{name} has {scores.shape[2]} scores in each of {max(scores.shape[:2])} frames"
    if isinstance(design, ImageInput) and design_detection(outputs, size, hints, Notes()):
        return "detection", f"its outputs have the form of boxes: {_shapes(outputs)}"
    found = class_tables(outputs)
    if [*found.values()] == [1] and not are_probabilities(np.asarray(outputs[next(iter(found))])):
        raise unusable(
            "it gives one number, as a model that estimates an amount does",
            "Give --kind classification if that is the score of the second of two classes, or write the task yourself.",
        )
    if found:
        return "classification", f"its outputs have one score for each class: {_shapes(outputs)}"
    raise unusable(f"its outputs are of no known form: {_shapes(outputs)}", "Give --kind, or write the task yourself.")


def _shapes(outputs: Outputs) -> str:
    return ", ".join(
        f"{name} {output.shape if isinstance(output, np.ndarray) else 'maps'}" for name, output in outputs.items()
    )
