"""SSDLite with MobileNetV2 (Sandler et al., CVPR 2018) of TensorFlow's model zoo, from its TensorFlow.js graph to ONNX.

The network is translated node by node; its ends are our own. At the start: pixels of 8 bits become numbers from -1 to
1. At the end: of all anchors the best are kept, so that little goes over the wire; their boxes are decoded (Liu et al.,
"SSD", ECCV 2016); and the scores become probabilities (Platt, 1999), see the version's card.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.nn.onnx_graph import Graph
from models.object_detection.anchors import CLASSES, KEPT_ANCHORS
from models.object_detection.conversion.tfjs import TfjsGraph
from models.object_detection.conversion.translation import Translation
from models.object_detection.pictures import SIDE

_IMAGE, _ANCHORS = "Preprocessor/sub", "Postprocessor/ExpandDims"
PREDICTORS = 6
"""Levels of the picture, each coarser than the one before, that have anchors of their own."""
UNUSED_IDS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of COCO's 91 numbers: no class has them, 0 is no object
CENTRE_STEP, SIZE_STEP = 0.1, 0.2  # of an anchor's size, and of a logarithm: units in which edges are predicted
_SLOPE, _OFFSET = 1.9, 0.0  # of logits: the network's own scores are too high below 0.5 and too low above
_CERTAINTY = (2.0, 2.5, 4.7)  # see `models.object_detection.candidates.confidence`


def convert(topology: bytes, *weights: bytes) -> bytes:
    """Return the ONNX file of `model.json` and the shards of its weights; what it puts out is said in `anchors`."""
    source, graph = TfjsGraph.read(topology, b"".join(weights)), Graph("ssdlite_mobilenet_v2")
    pixels = graph.input("image", np.uint8, ["batch", SIDE, SIDE, 3])
    scaled = graph.add("Mul", graph.cast(pixels, np.float32), graph.scalar(2 / 255, np.float32))
    image = graph.add("Transpose", graph.add("Sub", scaled, graph.scalar(1, np.float32)), perm=[0, 3, 1, 2])
    translation = Translation(source, graph, {_IMAGE: image})
    encodings, logits = (
        joined(graph, [translation.value(f"BoxPredictor_{level}/{end}/BiasAdd") for level in range(PREDICTORS)], size)
        for end, size in (("BoxEncodingPredictor", 4), ("ClassPredictor", CLASSES + len(UNUSED_IDS)))
    )
    put_out(graph, encodings, logits, source.constants[_ANCHORS][0])
    content: bytes = graph.model({"source": "ssdlite_mobilenet_v2_coco, TensorFlow"}).SerializeToString(
        deterministic=True
    )
    return content


def joined(graph: Graph, levels: list[str], size: int) -> str:
    """Return the predictions of all levels, (batch, anchors, size)."""
    shape = graph.constant(np.array([0, -1, size]))
    rows = [graph.add("Reshape", graph.add("Transpose", level, perm=[0, 2, 3, 1]), shape) for level in levels]
    return graph.add("Concat", *rows, axis=1)


def put_out(graph: Graph, encodings: str, logits: str, anchors: NDArray[Any]) -> None:
    """Put out what `anchors` describes, from (batch, anchors, 4) and (batch, anchors, 91).

    `anchors` (anchors, 4) are the upper, left, lower and right edges, as shares of the picture.
    """
    ids = np.setdiff1d(np.arange(CLASSES + len(UNUSED_IDS)), UNUSED_IDS)
    logits = graph.add("Gather", logits, graph.constant(ids), axis=2)
    _put_out_best(graph, logits, _decoded(graph, encodings, anchors))


def _decoded(graph: Graph, encodings: str, edges: NDArray[Any]) -> str:
    """Return the boxes, (batch, anchors, 4); the network predicts the centre and the size, down before across."""
    sizes, centres = edges[:, 2:] - edges[:, :2], (edges[:, 2:] + edges[:, :2]) / 2
    moved, grown = graph.add_many("Split", encodings, outputs=2, axis=2)
    centre = graph.add("Mul", moved, graph.constant(np.float32(CENTRE_STEP) * sizes, "anchor_steps"))
    centre = graph.add("Add", centre, graph.constant(centres, "anchor_centres"))
    growth = graph.add("Exp", graph.add("Mul", grown, graph.scalar(SIZE_STEP, np.float32)))
    half = graph.add("Mul", growth, graph.constant(sizes / 2, "anchor_halves"))
    corners = graph.add("Concat", graph.add("Sub", centre, half), graph.add("Add", centre, half), axis=2)
    return graph.add("Gather", corners, graph.constant(np.array([1, 0, 3, 2])), axis=2)


def _put_out_best(graph: Graph, logits: str, boxes: str) -> None:
    best = graph.add("ReduceMax", logits, axes=[2], keepdims=0)
    _, places = graph.add_many("TopK", best, graph.constant(np.array([KEPT_ANCHORS])), outputs=2)
    rows = graph.add("Unsqueeze", places, graph.constant(np.array([2])))
    logits, boxes = (graph.add("GatherND", values, rows, batch_dims=1) for values in (logits, boxes))
    logits = graph.add("Mul", logits, graph.constant(np.array(_SLOPE, np.float32), "slope"))
    logits = graph.add("Add", logits, graph.constant(np.array(_OFFSET, np.float32), "offset"))
    batch = graph.add("Unsqueeze", graph.size(places, 0), graph.constant(np.array([0])))
    certainty = graph.constant(np.array([_CERTAINTY], np.float32), "certainty_of_pictures")
    certainty = graph.add("Expand", certainty, graph.add("Concat", batch, graph.constant(np.array([3])), axis=0))
    graph.output("anchors", places, np.int64, ["batch", KEPT_ANCHORS])
    graph.output("scores", graph.add("Sigmoid", logits), np.float32, ["batch", KEPT_ANCHORS, CLASSES])
    graph.output("boxes", boxes, np.float32, ["batch", KEPT_ANCHORS, 4])
    graph.output("certainty", certainty, np.float32, ["batch", 3])
