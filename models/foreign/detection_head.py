"""Boxes of a foreign detector: YOLO, DETR and SSD differ in how they write down the same things."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.foreign.heads import Activation, Head, activated
from models.foreign.options import Tensors
from models.object_detection.boxes import kept
from models.runtimes import TensorSpec

MIN_SCORE = 0.05
"""Boxes that are less probable are not sent on."""
MAX_BOXES, MAX_CANDIDATES = 100, 1_000
_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int32)

Floats = NDArray[np.float32]
Form = Literal["columns", "rows", "per_class", "listed"]


class _Boxes(NamedTuple):
    """The boxes of one picture: left, top, right, bottom in pixels of the input; score; class."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int32]


class DetectionHead(Head):
    """Where boxes, scores and classes are in the outputs. `form` says how they are written:

    - `columns`: one output (batch, boxes, 4 + classes), or 5 + classes with `objectness`, or with the last two axes
      exchanged (`boxes_last`): YOLOv5 to v9, YOLO11, YOLOX.
    - `rows`: one output (batch, boxes, 6) of coordinates, score and class: YOLOv10, detectors with NMS inside.
    - `per_class`: boxes (batch, boxes, 4) and scores (batch, boxes, classes): DETR, SSD.
    - `listed`: boxes (batch, boxes, 4), scores (batch, boxes) and classes (batch, boxes): TensorFlow's detectors.
    """

    outputs: ClassVar[Mapping[str, TensorSpec]] = {
        "boxes": TensorSpec(_FLOAT, (None, None, 4)),
        "scores": TensorSpec(_FLOAT, (None, None)),
        "classes": TensorSpec(_INT, (None, None)),
    }
    kind: Literal["detection"] = "detection"
    form: Form
    boxes: str
    scores: str = Field("", description="The output of the scores, where it is another one.")
    classes: str = Field("", description="The output of the classes, where there is one.")
    boxes_last: bool = False
    objectness: bool = False
    coordinates: Literal["xywh", "ltrb", "tlbr"] = Field(
        "xywh", description="Centre, width and height; or left, top, right, bottom; or top, left, bottom, right."
    )
    unit: Literal["pixels", "share", "cells"] = Field(
        "pixels", description="Pixels of the input, shares of its sides, or cells of the grids of `strides` (YOLOX)."
    )
    strides: tuple[int, ...] = (8, 16, 32)
    activation: Activation = "none"
    background: Literal["none", "first", "last"] = Field("none", description="The class that is no object.")
    first_class: int = Field(0, description="The number of the first class, in outputs that name classes.")
    max_overlap: float | None = Field(None, description="Of boxes of a class (IoU) for NMS; null where it is done.")

    def names(self) -> list[str]:
        """Return the one to three outputs."""
        return [name for name in (self.boxes, self.scores, self.classes) if name]

    def read(self, raw: Mapping[str, Any], size: tuple[int, int]) -> Tensors:
        """Return the best boxes of each picture, best first; where a picture has fewer, scores are 0."""
        tables = [_batched(np.asarray(raw[name]), 3 if name == self.boxes else 2) for name in self.names()]
        found = [self._best(of_picture, size) for of_picture in zip(*tables, strict=True)]
        count = max(1, *(len(one.scores) for one in found))
        shapes = {"boxes": (count, 4), "scores": (count,), "classes": (count,)}
        tensors = {name: np.zeros((len(found), *shape), self.outputs[name].dtype) for name, shape in shapes.items()}
        for row, one in enumerate(found):
            for name, tensor in one._asdict().items():
                tensors[name][row, : len(tensor)] = tensor
        return tensors

    def _best(self, tables: Sequence[NDArray[Any]], size: tuple[int, int]) -> _Boxes:
        boxes, scores, classes = self._parted(tables)
        likely = np.flatnonzero((scores >= MIN_SCORE) & np.isfinite(boxes).all(axis=1))
        likely = likely[np.argsort(-scores[likely], kind="stable")[:MAX_CANDIDATES]]
        corners, scores, classes = self._corners(boxes, size)[likely], scores[likely], classes[likely]
        if self.max_overlap is not None:
            apart = np.array(size, np.float32).max() * 4 * classes[:, None]  # boxes of two classes never overlap
            places = kept(corners + apart, scores, self.max_overlap)
            corners, scores, classes = corners[places], scores[places], classes[places]
        return _Boxes(corners[:MAX_BOXES], scores[:MAX_BOXES], classes[:MAX_BOXES])

    def _parted(self, tables: Sequence[NDArray[Any]]) -> _Boxes:
        """Return one picture's boxes as the model writes them, with the probability and number of the best class."""
        if self.form == "rows":
            return _Boxes(tables[0][:, :4], tables[0][:, 4].astype(np.float32), self._numbered(tables[0][:, 5]))
        if self.form == "listed":
            boxes, scores, classes = tables
            return _Boxes(boxes, scores.ravel().astype(np.float32), self._numbered(classes.ravel()))
        if self.form == "columns":
            table = tables[0].T if self.boxes_last else tables[0]
            boxes, scores = table[:, :4], activated(table[:, 4:], self.activation)
            if self.objectness:
                scores = scores[:, 1:] * scores[:, :1]
        else:
            boxes, scores = tables[0], activated(tables[1], self.activation)
        scores = {"none": scores, "first": scores[:, 1:], "last": scores[:, :-1]}[self.background]
        return _Boxes(boxes, scores.max(axis=1), scores.argmax(axis=1).astype(np.int32))

    def _numbered(self, classes: NDArray[Any]) -> NDArray[np.int32]:
        return np.asarray(classes, np.int32) - self.first_class

    def _corners(self, boxes: NDArray[Any], size: tuple[int, int]) -> Floats:
        boxes, (height, width) = boxes.astype(np.float32), size
        if self.unit == "cells":
            boxes = _from_cells(boxes, grid(size, self.strides))
        if self.coordinates == "tlbr":
            boxes = boxes[:, [1, 0, 3, 2]]
        elif self.coordinates == "xywh":
            middle, half = boxes[:, :2], boxes[:, 2:] / 2
            boxes = np.concatenate((middle - half, middle + half), axis=1)
        scale = np.array([width, height] * 2, np.float32)
        return np.asarray(boxes * scale if self.unit == "share" else boxes, np.float32)


def grid(size: tuple[int, int], strides: tuple[int, ...]) -> Floats:
    """Return column, row and stride of each cell of the grids, (cells, 3), in the order of YOLOX."""
    height, width = size
    grids = []
    for step in strides:
        rows, columns = np.indices((height // step, width // step), np.float32)
        grids.append(np.stack((columns, rows, np.full_like(rows, step)), axis=-1).reshape(-1, 3))
    return np.concatenate(grids)


def _from_cells(boxes: Floats, cells: Floats) -> Floats:
    steps = cells[:, 2:]
    sizes = np.exp(np.minimum(boxes[:, 2:], 20)) * steps
    return np.concatenate(((boxes[:, :2] + cells[:, :2]) * steps, sizes), axis=1)


def _batched(table: NDArray[Any], axes: int) -> NDArray[Any]:
    """Return a batch of one for the output of a detector of one picture (torchvision)."""
    return table if table.ndim >= axes else table[None]
