"""A `ConvCtc` network as an ONNX graph: the same computation, written once more in ONNX's operators.

What differs: channels stand before height and width, and the logits are divided by the calibration temperature before
the logarithm of the softmax is taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import onnx

from models.nn.conv_ctc import Conv, ConvCtc, Parameters, as_numpy
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
    """The model with inputs `signal.name` (batch, height, width) and `width` int32 (batch,).

    Its outputs are `log_probs` float32 (batch, frames, classes) and `length` int32 (batch,).
    """
    graph = Graph("conv_ctc")
    raw = graph.input(signal.name, signal.dtype, ["batch", network.height, "columns"])
    widths = graph.input("width", np.int32, ["batch"])
    weights = _named(graph, parameters)
    channel_axis, rows_axes = graph.constant(np.array([1])), graph.constant(np.array([1, 2]))

    def convolved(x: str, layer: Conv) -> str:
        (top, bottom), (left, right) = layer.padding
        kernel, bias = next(weights)
        return graph.add(
            "Conv",
            x,
            kernel,
            bias,
            kernel_shape=list(layer.kernel),
            strides=list(layer.stride),
            dilations=[1, layer.dilation],
            pads=[top, left, bottom, right],
        )

    seen = graph.add("Mul", graph.cast(raw, np.float32), graph.scalar(signal.scale, np.float32))
    inside = graph.positions_below(widths, graph.size(seen, 2))
    seen = graph.add("Mul", seen, graph.add("Unsqueeze", inside, channel_axis))
    x = graph.add("Unsqueeze", seen, channel_axis)

    step = graph.scalar(network.time_stride, np.int32)
    lengths = graph.add("Div", graph.add("Add", widths, graph.scalar(network.time_stride - 1, np.int32)), step)
    mask = ""
    for layer in network.stem_layers:
        x = graph.add("Relu", convolved(x, layer))
        if not mask:
            mask = graph.add("Unsqueeze", graph.positions_below(lengths, graph.size(x, 3)), rows_axes)
        x = graph.add("Mul", x, mask)
    for first, second in network.blocks:
        inner = graph.add("Mul", graph.add("Relu", convolved(x, first)), mask)
        x = graph.add("Mul", graph.add("Relu", graph.add("Add", convolved(inner, second), x)), mask)
    scores = graph.add("Squeeze", convolved(x, network.head), graph.constant(np.array([2])))
    scores = graph.add("Transpose", scores, perm=[0, 2, 1])
    scores = graph.add("Div", scores, graph.constant(np.array(temperature, np.float32), TEMPERATURE))
    log_probs = graph.add("LogSoftmax", scores, axis=-1)
    graph.output("log_probs", log_probs, np.float32, ["batch", "frames", network.classes])
    graph.output("length", lengths, np.int32, ["batch"])
    return graph.model(metadata or {})


def _named(graph: Graph, parameters: Parameters) -> Iterator[tuple[str, str]]:
    for number, (weights, bias) in enumerate(as_numpy(parameters)):
        yield (
            graph.constant(weights.transpose(3, 2, 0, 1), f"layer_{number}.weights"),
            graph.constant(bias, f"layer_{number}.bias"),
        )


def from_onnx(model: onnx.ModelProto) -> tuple[Parameters, float]:
    """The parameters and the temperature of a model that `to_onnx` made, to go on training from."""
    arrays = stored_arrays(model)
    count = sum(name.endswith(".weights") for name in arrays)
    parameters = [
        (
            jnp.asarray(arrays[f"layer_{number}.weights"].transpose(2, 3, 1, 0)),
            jnp.asarray(arrays[f"layer_{number}.bias"]),
        )
        for number in range(count)
    ]
    return parameters, float(arrays[TEMPERATURE])
