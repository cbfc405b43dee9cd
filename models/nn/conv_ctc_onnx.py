"""A `ConvCtc` network as an ONNX graph: the same computation, written once more in ONNX's operators.

What differs: channels stand before height and width, and the logits are divided by the calibration temperature before
the logarithm of the softmax is taken.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import Conv, Parameters
from models.nn.onnx_convolution import convolved, read_parameters, stored_weights
from models.nn.onnx_graph import Graph, stored_arrays

TEMPERATURE = "temperature"


@dataclass(frozen=True)
class Signal:
    """The model's input: its name, its type, and what it is multiplied by before the network sees it."""

    name: str
    dtype: type[np.generic]
    scale: float


def to_onnx(
    network: ConvCtc,
    parameters: Parameters,
    signal: Signal,
    temperature: float = 1.0,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the model with inputs `signal.name` (batch, height, width) and `width` int32 (batch,).

    Its outputs are `log_probs` float32 (batch, frames, classes) and `length` int32 (batch,).
    """
    graph = Graph("conv_ctc")
    raw = graph.input(signal.name, signal.dtype, ["batch", network.height, "columns"])
    widths = graph.input("width", np.int32, ["batch"])
    weights = stored_weights(graph, parameters)
    channel_axis, rows_axes = graph.constant(np.array([1])), graph.constant(np.array([1, 2]))

    def conv(x: str, layer: Conv) -> str:
        return convolved(graph, x, layer, next(weights), dilations=[1, layer.dilation])

    seen = graph.add("Mul", graph.cast(raw, np.float32), graph.scalar(signal.scale, np.float32))
    inside = graph.positions_below(widths, graph.size(seen, 2))
    seen = graph.add("Mul", seen, graph.add("Unsqueeze", inside, channel_axis))
    x = graph.add("Unsqueeze", seen, channel_axis)

    step = graph.scalar(network.time_stride, np.int32)
    lengths = graph.add("Div", graph.add("Add", widths, graph.scalar(network.time_stride - 1, np.int32)), step)
    mask = ""
    for layer in network.stem_layers:
        x = graph.add("Relu", conv(x, layer))
        if not mask:
            mask = graph.add("Unsqueeze", graph.positions_below(lengths, graph.size(x, 3)), rows_axes)
        x = graph.add("Mul", x, mask)
    for first, second in network.blocks:
        inner = graph.add("Mul", graph.add("Relu", conv(x, first)), mask)
        x = graph.add("Mul", graph.add("Relu", graph.add("Add", conv(inner, second), x)), mask)
    scores = graph.add("Squeeze", conv(x, network.head), graph.constant(np.array([2])))
    scores = graph.add("Transpose", scores, perm=[0, 2, 1])
    scores = graph.add("Div", scores, graph.constant(np.array(temperature, np.float32), TEMPERATURE))
    log_probs = graph.add("LogSoftmax", scores, axis=-1)
    graph.output("log_probs", log_probs, np.float32, ["batch", "frames", network.classes])
    graph.output("length", lengths, np.int32, ["batch"])
    return graph.model(metadata or {})


def from_onnx(model: onnx.ModelProto) -> tuple[Parameters, float]:
    """Return the parameters and the temperature of a model that `to_onnx` made, to go on training from."""
    return read_parameters(model), float(stored_arrays(model)[TEMPERATURE])
