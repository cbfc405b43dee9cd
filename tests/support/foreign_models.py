"""ONNX models with the heads that exporters of other people write, as small as they can be."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.nn.onnx_graph import Graph

SIDE = 64
CELLS = 84
"""Of grids of 8, 16 and 32 pixels over `SIDE`."""
OBJECTS = [([8.0, 8.0, 24.0, 40.0], "class_0", 0.9), ([32.0, 16.0, 56.0, 48.0], "class_1", 0.8)]
"""What each detector finds in whatever picture of this side."""
_PLACES = (10, 40)

Floats = NDArray[np.float32]


def save(graph: Graph, path: Path, metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.model(metadata or {}).SerializeToString())
    return path


def _boxes(count: int) -> tuple[Floats, Floats]:
    """Return left, top, right, bottom of all boxes, and their scores of two classes: most are nothing."""
    rng = np.random.default_rng(0)
    middle = rng.uniform(4, SIDE - 4, (count, 2))
    boxes, scores = np.concatenate((middle - 2, middle + 2), axis=1), np.full((count, 2), 0.001)
    for place, (box, label, score) in zip(_PLACES, OBJECTS, strict=True):
        boxes[place % count], scores[place % count, int(label[-1])] = box, score
    return boxes.astype(np.float32), scores.astype(np.float32)


def _xywh(boxes: Floats) -> Floats:
    return np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1)


def _detector(batch: str | int = "batch", *, nhwc_bytes: bool = False) -> tuple[Graph, str]:
    """Return a graph with an image and a value (batch, 1, 1) that is 0."""
    graph = Graph("detector")
    kind, shape = (np.uint8, [batch, SIDE, SIDE, 3]) if nhwc_bytes else (np.float32, [batch, 3, SIDE, SIDE])
    image = graph.input("images", kind, shape)
    mean = graph.add("ReduceMean", graph.cast(image, np.float32), axes=[1, 2], keepdims=0)
    zero = graph.add("Mul", graph.add("ReduceMean", mean, axes=[1], keepdims=1), graph.scalar(0, np.float32))
    return graph, graph.add("Unsqueeze", zero, graph.constant(np.array([2])))


def _output(graph: Graph, zero: str, name: str, table: NDArray[np.generic]) -> None:
    """Give each picture of the batch this table."""
    zero = zero if table.ndim == 2 else graph.add("Squeeze", zero, graph.constant(np.array([2])))
    value = graph.add("Add", graph.constant(table[None].astype(np.float32)), zero)
    graph.output(name, value, np.float32, ["batch", *table.shape])


def yolo_v8(batch: str | int = "batch") -> Graph:
    graph, zero = _detector(batch)
    boxes, scores = _boxes(CELLS)
    _output(graph, zero, "output0", np.concatenate((_xywh(boxes), scores), axis=1).T)
    return graph


def yolo_v5() -> Graph:
    graph, zero = _detector()
    boxes, scores = _boxes(CELLS)
    objectness = np.full((CELLS, 1), 0.95)
    _output(graph, zero, "output0", np.concatenate((_xywh(boxes), objectness, scores / 0.95), axis=1))
    return graph


def yolox() -> Graph:
    from models.foreign.detection_head import grid

    graph, zero = _detector()
    boxes, scores = _boxes(CELLS)
    cells, steps = grid((SIDE, SIDE), (8, 16, 32))[:, :2], grid((SIDE, SIDE), (8, 16, 32))[:, 2:]
    middle_and_size = _xywh(boxes)
    raw = np.concatenate((middle_and_size[:, :2] / steps - cells, np.log(middle_and_size[:, 2:] / steps)), axis=1)
    _output(graph, zero, "output", np.concatenate((raw, np.ones((CELLS, 1)), scores), axis=1))
    return graph


def yolo_v10() -> Graph:
    graph, zero = _detector()
    boxes, scores = _boxes(50)
    _output(graph, zero, "output0", np.concatenate((boxes, scores.max(1)[:, None], scores.argmax(1)[:, None]), axis=1))
    return graph


def detr(*, mask: bool = False) -> Graph:
    graph, zero = _detector()
    if mask:
        graph.input("pixel_mask", np.int64, ["batch", 64, 64])
    boxes, scores = _boxes(50)
    nothing = 1 - scores.sum(axis=1, keepdims=True)
    _output(graph, zero, "logits", np.log(np.concatenate((scores, nothing), axis=1)))
    _output(graph, zero, "pred_boxes", _xywh(boxes) / SIDE)
    return graph


def ssd() -> Graph:
    graph, zero = _detector()
    boxes, scores = _boxes(50)
    nothing = 1 - scores.sum(axis=1, keepdims=True)
    _output(graph, zero, "scores", np.concatenate((nothing, scores), axis=1))
    _output(graph, zero, "boxes", boxes / SIDE)
    return graph


def tensorflow() -> Graph:
    graph, zero = _detector(nhwc_bytes=True)
    boxes, scores = _boxes(50)
    _output(graph, zero, "detection_boxes", boxes[:, [1, 0, 3, 2]] / SIDE)
    _output(graph, zero, "detection_scores", scores.max(1))
    _output(graph, zero, "detection_classes", scores.argmax(1) + 1)
    _output(graph, zero, "num_detections", np.full(1, 50))
    return graph


DETECTORS: dict[str, Callable[[], Graph]] = {
    "YOLOv8": yolo_v8,
    "YOLOv5": yolo_v5,
    "YOLOX": yolox,
    "YOLOv10": yolo_v10,
    "DETR": detr,
    "DETR_with_a_mask": partial(detr, mask=True),
    "SSD": ssd,
    "TensorFlow": tensorflow,
}


def line_reader(symbols: int, *, batch: str | int = "batch", frames_first: bool = False) -> Graph:
    """Read a symbol of every four columns, by their brightness: the darker, the higher its number. 0 is the blank."""
    graph = Graph("line_reader")
    image = graph.input("x", np.float32, [batch, 1, 32, "width"])
    pooled = graph.add("AveragePool", image, kernel_shape=[32, 4], strides=[32, 4])
    columns = graph.add("Transpose", graph.add("Squeeze", pooled, graph.constant(np.array([1]))), perm=[0, 2, 1])
    _symbol_scores(graph, columns, symbols, frames_first)
    return graph


def speech_reader(symbols: int) -> Graph:
    """Hear a symbol in every 20 ms."""
    graph = Graph("speech_reader")
    samples = graph.input("input_values", np.float32, ["batch", "samples"])
    row = graph.add("Unsqueeze", graph.add("Abs", samples), graph.constant(np.array([1])))
    pooled = graph.add("AveragePool", row, kernel_shape=[320], strides=[320])
    _symbol_scores(graph, graph.add("Transpose", pooled, perm=[0, 2, 1]), symbols, False)
    return graph


def _symbol_scores(graph: Graph, frames: str, symbols: int, frames_first: bool) -> None:
    levels = graph.constant(np.linspace(1, -1, symbols, dtype=np.float32))
    scores = graph.add("Mul", graph.add("Abs", graph.add("Sub", frames, levels)), graph.scalar(-20, np.float32))
    if frames_first:
        scores = graph.add("Transpose", scores, perm=[1, 0, 2])
    graph.output("scores", scores, np.float32, ["a", "b", symbols])


def colour_classifier(*, batch: str | int = "batch", classes: int = 3) -> Graph:
    """Tell which channel is brightest: scores are the channels' means."""
    graph = Graph("colours")
    image = graph.input("pixel_values", np.float32, [batch, 3, "height", "width"])
    means = graph.add("ReduceMean", image, axes=[2, 3], keepdims=0)
    scores = graph.add("MatMul", means, graph.constant(np.eye(3, classes, dtype=np.float32)))
    graph.output("logits", scores, np.float32, [batch, classes])
    return graph


def linear(rows: int, columns: int) -> Graph:
    """Multiply numbers by a matrix of which each row picks the output of its own number."""
    graph = Graph("linear")
    numbers = graph.input("features", np.float32, ["batch", rows])
    product = graph.add("MatMul", numbers, graph.constant(np.eye(rows, columns, dtype=np.float32)))
    graph.output("values", product, np.float32, ["batch", columns])
    return graph
