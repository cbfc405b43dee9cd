"""The detector as an ONNX graph: the same computation, written once more in ONNX's operators.

What differs: channels stand before rows and columns inside, the logits are calibrated and become probabilities, and a
row of numbers goes out with each scene: how `decoding` makes a confidence of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from models.nn.convolution import Conv, Parameters
from models.nn.onnx_convolution import convolved, read_parameters, stored_weights
from models.nn.onnx_graph import Graph, stored_arrays
from models.small.object_detection.images import SIDE
from models.small.object_detection.labels import LABELS
from models.small.object_detection.training.network import GRID, MAX_LOG_DISTANCE, STRIDE, Detector

CELLS_FIRST, CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


@dataclass(frozen=True)
class Calibration:
    """The calibration of scores and confidences.

    A score is sigmoid(slope * logit + offset). `certainty` are the three numbers of a logistic regression, see
    `models.small.object_detection.decoding`.
    """

    slope: float = 1.0
    offset: float = 0.0
    certainty: tuple[float, float, float] = (0.0, 1.0, 1.0)


def to_onnx(
    network: Detector, parameters: Parameters, calibration: Calibration, metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """Return the model with input `image` uint8 (batch, 128, 128, 3).

    Outputs: `scores` float32 (batch, 16, 16, classes), `distances` float32 (batch, 16, 16, 4) in pixels of the square,
    `certainty` float32 (batch, 3).
    """
    graph = Graph("detector")
    image = graph.input("image", np.uint8, ["batch", SIDE, SIDE, 3])
    logits, reach = _maps(graph, network, stored_weights(graph, parameters), image)

    slope = graph.constant(np.array(calibration.slope, np.float32), "slope")
    offset = graph.constant(np.array(calibration.offset, np.float32), "offset")
    scores = graph.add("Sigmoid", graph.add("Add", graph.add("Mul", logits, slope), offset))
    limits = (graph.scalar(-MAX_LOG_DISTANCE, np.float32), graph.scalar(MAX_LOG_DISTANCE, np.float32))
    distances = graph.add("Exp", graph.add("Clip", reach, *limits))
    distances = graph.add("Mul", distances, graph.scalar(STRIDE, np.float32))
    certainty = graph.constant(np.array([calibration.certainty], np.float32), "certainty_of_scenes")
    rows = graph.add("Unsqueeze", graph.size(image, 0), graph.constant(np.array([0])))
    certainty = graph.add("Expand", certainty, graph.add("Concat", rows, graph.constant(np.array([3])), axis=0))

    grid: list[str | int] = ["batch", GRID, GRID]
    graph.output("scores", graph.add("Transpose", scores, perm=CELLS_FIRST), np.float32, [*grid, len(LABELS)])
    graph.output("distances", graph.add("Transpose", distances, perm=CELLS_FIRST), np.float32, [*grid, 4])
    graph.output("certainty", certainty, np.float32, ["batch", 3])
    return graph.model(metadata or {})


def _maps(graph: Graph, network: Detector, weights: Iterator[tuple[str, str]], image: str) -> tuple[str, str]:
    """Add the network, and return the logits of the classes and the unscaled distances, channels first."""

    def conv(x: str, layer: Conv) -> str:
        return convolved(graph, x, layer, next(weights))

    def residual(x: str, channels: int) -> str:
        first, second = network.block(channels)
        inner = graph.add("Relu", conv(x, first))
        return graph.add("Relu", graph.add("Add", conv(inner, second), x))

    x = graph.add("Mul", graph.cast(image, np.float32), graph.scalar(1 / 255, np.float32))
    x = graph.add("Transpose", graph.add("Sub", x, graph.scalar(0.5, np.float32)), perm=CHANNELS_FIRST)
    levels = []
    for down, blocks in zip(network.downs(), network.blocks, strict=True):
        x = graph.add("Relu", conv(x, down))
        for _ in range(blocks):
            x = residual(x, down.filters)
        levels.append(x)
    coarse = graph.add(
        "Resize",
        conv(x, network.lateral()),
        "",
        graph.constant(np.array([1, 1, 2, 2], np.float32)),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    x = residual(graph.add("Add", levels[2], coarse), network.channels[2])
    shared, classes, edges = network.heads()
    x = graph.add("Relu", conv(x, shared))
    return conv(x, classes), conv(x, edges)


def from_onnx(model: onnx.ModelProto) -> Parameters:
    """Return the parameters of a model that `to_onnx` made, to go on training from. Raises `KeyError` for another."""
    return read_parameters(model)


def calibration_of(model: onnx.ModelProto) -> Calibration:
    """Return the calibration of such a model. Raises `KeyError` for another one."""
    arrays = stored_arrays(model)
    offset, emitted, omitted = arrays["certainty_of_scenes"][0].tolist()
    return Calibration(float(arrays["slope"]), float(arrays["offset"]), (offset, emitted, omitted))
