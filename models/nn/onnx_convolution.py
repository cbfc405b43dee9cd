"""Convolutions in an ONNX graph, with channels before height and width, and their parameters read back."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import onnx

from models.nn.convolution import Conv, Parameters, as_numpy
from models.nn.onnx_graph import Graph, stored_arrays


def stored_weights(graph: Graph, parameters: Parameters) -> Iterator[tuple[str, str]]:
    """Store each layer's weights and bias in the graph, and yield their names."""
    for number, (weights, bias) in enumerate(as_numpy(parameters)):
        yield (
            graph.constant(weights.transpose(3, 2, 0, 1), f"layer_{number}.weights"),
            graph.constant(bias, f"layer_{number}.bias"),
        )


def convolved(graph: Graph, x: str, layer: Conv, weights: tuple[str, str], **attributes: Any) -> str:
    """Add the convolution of a value with weights that `stored_weights` named."""
    (top, bottom), (left, right) = layer.padding
    return graph.add(
        "Conv",
        x,
        *weights,
        kernel_shape=list(layer.kernel),
        strides=list(layer.stride),
        pads=[top, left, bottom, right],
        **attributes,
    )


def read_parameters(model: onnx.ModelProto) -> Parameters:
    """Return the parameters that `stored_weights` stored, to go on training from. Raises `KeyError`."""
    arrays = stored_arrays(model)
    count = sum(name.endswith(".weights") for name in arrays)
    return [
        (
            jnp.asarray(arrays[f"layer_{number}.weights"].transpose(2, 3, 1, 0)),
            jnp.asarray(arrays[f"layer_{number}.bias"]),
        )
        for number in range(count)
    ]
