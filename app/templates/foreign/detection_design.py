"""From the outputs of a trial to where a detector's boxes are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.templates.foreign.head_design import Outputs, are_probabilities, are_shares, tables
from app.templates.foreign.hints import Hints
from app.templates.foreign.notes import Notes, unusable
from models.foreign.detection_head import DetectionHead, grid

NMS = 0.45
"""The overlap from which on two boxes of a class are one, as YOLO's authors have it."""
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
ANCHORS = (1, 3)
"""Boxes in each cell of the grids."""
_PIXELS, _SHARE = 3.0, 1.5
"""Coordinates beyond these are pixels, or no shares of a side."""


def design_detection(outputs: Outputs, size: tuple[int, int], hints: Hints, notes: Notes) -> DetectionHead | None:
    """Return how to read a detector; None if the outputs are none of a known form. Raises `SetupError`."""
    wide = {name: table for name, output in outputs.items() if (table := _three_axes(output)) is not None}
    boxes = {name: table for name, table in wide.items() if table.shape[2] == 4}
    if len(boxes) == 1:
        ((name, table),) = boxes.items()
        others = {other: output for other, output in outputs.items() if other != name and _fits(output, table)}
        return _apart(name, table, others, hints, notes)
    if len(wide) == 1 and not boxes:
        ((name, table),) = wide.items()
        return _together(name, table, size, hints, notes)
    return None


def _three_axes(output: Any) -> NDArray[Any] | None:
    """Return boxes, or what has boxes in it, as (1, n, values); None for other outputs."""
    if not isinstance(output, np.ndarray) or output.dtype.kind != "f" or 0 in output.shape:
        return None
    if output.ndim == 2 and output.shape[1] == 4:
        return output[None]  # of one picture (torchvision)
    return output if output.ndim == 3 and output.shape[0] == 1 else None


def _fits(output: Any, boxes: NDArray[Any]) -> bool:
    count = boxes.shape[1]
    return isinstance(output, np.ndarray) and output.shape in (
        (count,),
        (1, count),
        *([output.shape] if output.ndim == 3 and output.shape[:2] == (1, count) else []),
    )


def _apart(
    name: str, boxes: NDArray[Any], others: dict[str, NDArray[Any]], hints: Hints, notes: Notes
) -> DetectionHead | None:
    """Return the form of boxes and scores in outputs of their own: DETR, SSD, detectors with NMS inside."""
    values = boxes[0]
    ordered = bool((values[:, 2:] >= values[:, :2]).all())
    unit = "pixels" if np.abs(values).max() > _SHARE else "share"
    coordinates = "tlbr" if name.startswith("detection_boxes") else "ltrb" if ordered else "xywh"
    notes.known.append(
        f"{name} has boxes as {coordinates}, in {'pixels' if unit == 'pixels' else 'shares of the sides'}"
    )
    wide = [other for other, output in others.items() if output.ndim == 3 and output.shape[2] > 1]
    if len(wide) == 1:
        return _per_class(
            DetectionHead(form="per_class", boxes=name, scores=wide[0], coordinates=coordinates, unit=unit),
            others[wide[0]],
            hints,
            notes,
        )
    classes = next((key for key, output in others.items() if output.dtype.kind == "i" or _names_classes(key)), None)
    scores = next((key for key, output in others.items() if key != classes and output.dtype.kind == "f"), None)
    if classes is None or scores is None:
        return None
    first = 1 if coordinates == "tlbr" else 0
    notes.assumed.append(f"the first class has the number {first} in {classes}; `first_class` in the manifest sets it")
    return DetectionHead(
        form="listed", boxes=name, scores=scores, classes=classes, coordinates=coordinates, unit=unit, first_class=first
    )


def _names_classes(name: str) -> bool:
    return any(part in name.lower() for part in ("class", "label"))


def _per_class(head: DetectionHead, scores: NDArray[Any], hints: Hints, notes: Notes) -> DetectionHead:
    count, given = scores.shape[2], len(hints.labels or ())
    is_detr = head.coordinates == "xywh"
    shares, between = are_shares(scores), are_probabilities(scores)
    exclusive = shares or (not between and given in (0, count - 1))
    if given == 0 and not shares and not between:
        notes.assumed.append("scores are of exclusive classes (softmax), the last of them no object, as in DETR")
    background = ("last" if is_detr else "first") if exclusive and given != count else "none"
    if background == "first":
        notes.assumed.append("the first class is no object, as in SSD; `background` in the manifest sets it")
    activation = "none" if shares or between else "softmax" if exclusive else "sigmoid"
    max_overlap = None if is_detr else NMS
    return head.model_copy(update={"activation": activation, "background": background, "max_overlap": max_overlap})


def _together(
    name: str, table: NDArray[Any], size: tuple[int, int], hints: Hints, notes: Notes
) -> DetectionHead | None:
    """Return the form of boxes and scores in one output: YOLO."""
    if table.shape[2] == 6 and not _grids(table.shape[1], size):
        notes.known.append(f"{name} has rows of a box, its score and its class, as YOLOv10")
        unit = "pixels" if np.abs(table[..., :4]).max() > _SHARE else "share"
        return DetectionHead(form="rows", boxes=name, coordinates="ltrb", unit=unit)
    boxes_last = _grids(table.shape[2], size) is not None
    strides = _grids(table.shape[2] if boxes_last else table.shape[1], size)
    if strides is None:
        return None
    rows = table[0].T if boxes_last else table[0]
    classes, given = rows.shape[1] - 4, len(hints.labels or ())
    objectness = given == classes - 1 if given in (classes, classes - 1) else not boxes_last
    if not given:
        says = f"{classes - objectness} class scores{' and a score of any object' if objectness else ''}"
        notes.assumed.append(f"behind the coordinates are {says}, as in {'YOLOv8' if boxes_last else 'YOLOv5'}")
    unit = "pixels" if np.abs(rows[:, :4]).max() > max(size) / 4 else "share"
    if unit == "share" and (rows[:, :4].min() < 0 or rows[:, :4].max() > _PIXELS or rows[:, 0].std() < 0.05):
        unit = "cells"
        notes.assumed.append(f"coordinates are in cells of grids of {', '.join(map(str, strides))} pixels, as in YOLOX")
    scores = rows[:, 4:]
    activation = "none" if are_probabilities(scores) else "sigmoid"
    notes.assumed.append(f"boxes of a class that overlap by {NMS:.0%} are one; `max_overlap` in the manifest sets it")
    return DetectionHead(
        form="columns",
        boxes=name,
        boxes_last=boxes_last,
        objectness=objectness,
        unit=unit,
        strides=strides,
        activation=activation,
        max_overlap=NMS,
    )


def _grids(count: int, size: tuple[int, int]) -> tuple[int, ...] | None:
    """Return the strides of grids that have as many boxes."""
    return next((steps for steps in STRIDES for each in ANCHORS if len(grid(size, steps)) * each == count), None)


def design_labels(head: DetectionHead, outputs: Outputs, hints: Hints, notes: Notes) -> tuple[str, ...]:
    """Return the labels of a detector's classes. Raises `SetupError`."""
    count = _classes(head, outputs)
    if hints.labels is not None:
        if count is not None and len(hints.labels) != count:
            raise unusable(f"it has {count} classes and {len(hints.labels)} labels are given", "Give other --labels.")
        return hints.labels
    count = count or 100
    notes.assumed.append(
        f"the labels are numbers, class_0 and so on: the model names none of the {count}; --labels does"
    )
    return tuple(f"class_{number}" for number in range(count))


def _classes(head: DetectionHead, outputs: Outputs) -> int | None:
    """Return how many classes the outputs have; None where they give numbers instead."""
    if head.form == "columns":
        shape = tables(outputs, 3)[head.boxes].shape
        return int(shape[1 if head.boxes_last else 2]) - 4 - head.objectness
    if head.form == "per_class":
        return int(outputs[head.scores].shape[2]) - (head.background != "none")
    return None
