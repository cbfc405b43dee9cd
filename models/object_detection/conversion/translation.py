"""Translating TensorFlow's operators to those of ONNX, for networks of convolutions.

TensorFlow puts the channels of an image last, ONNX first: so a value is kept with its channels first, and knows whether
its node has them last. A transposition changes this knowledge alone, and the translated graph has none. A padding
becomes part of the convolution or pooling that it is for. Images may be of any size: a resizing to a fixed size becomes
one by the factor between the strides.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.nn.onnx_graph import Graph
from models.object_detection.conversion.tfjs import Node, TfjsGraph

_CHANNELS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_NO_PADDING = (0, 0, 0, 0)


class Value(NamedTuple):
    """A value of the ONNX graph (batch, channels, rows, columns) that stands for a TensorFlow node."""

    name: str
    channels_last: bool = False
    stride: int = 1
    """How many pixels of the input are between two of its own."""
    padding: tuple[int, int, int, int] = _NO_PADDING
    """Rows above, columns to the left, rows below and columns to the right that are to be added."""


class Translation:
    """Translates what some nodes of a graph need into an ONNX graph. Raises `ValueError` for an unknown operator."""

    def __init__(self, source: TfjsGraph, graph: Graph, placeholder: str, image: Value, side: int) -> None:
        """Let `image` stand for the node `placeholder`; `side` is the height and width that resizings are for."""
        self._source, self._graph, self._side = source, graph, side
        self._values = {placeholder: image}
        self._rules = {
            "Add": self._add,
            "ConcatV2": self._concat,
            "Conv2D": self._conv,
            "LeakyRelu": self._leaky_relu,
            "MaxPool": self._max_pool,
            "Pad": self._pad,
            "PadV2": self._pad,
            "ResizeBilinear": self._resize,
            "Transpose": self._transpose,
        }

    def value(self, name: str) -> Value:
        """Return the value of a node, translated with all that it takes."""
        if name not in self._values:
            node = self._source.nodes[name]
            if node.operator not in self._rules:
                raise ValueError(f"the operator {node.operator} of {name} is not known")
            self._values[name] = self._rules[node.operator](node)
        return self._values[name]

    def _constant(self, name: str) -> NDArray[Any]:
        return self._source.constants[name]

    def _transpose(self, node: Node) -> Value:
        value, order = self.value(node.inputs[0]), self._constant(node.inputs[1]).tolist()
        if order != (_CHANNELS_FIRST if value.channels_last else _CHANNELS_LAST):
            raise ValueError(f"{node.name} transposes by {order}")
        return value._replace(channels_last=not value.channels_last)

    def _pad(self, node: Node) -> Value:
        value = self.value(node.inputs[0])
        (top, bottom), (left, right) = self._constant(node.inputs[1])[2:].tolist()
        if value.channels_last or self._constant(node.inputs[1])[:2].any():
            raise ValueError(f"{node.name} pads other axes than rows and columns")
        return value._replace(padding=(top, left, bottom, right))

    def _conv(self, node: Node) -> Value:
        value, weights = self.value(node.inputs[0]), self._constant(node.inputs[1])
        stored = self._graph.constant(weights.transpose(3, 2, 0, 1), node.inputs[1])
        return self._windowed("Conv", node, value, [value.name, stored], list(weights.shape[:2]))

    def _max_pool(self, node: Node) -> Value:
        value = self.value(node.inputs[0])
        return self._windowed("MaxPool", node, value, [value.name], node.integers("ksize")[1:3])

    def _windowed(self, operator: str, node: Node, value: Value, inputs: list[str], kernel: list[int]) -> Value:
        """Add a convolution or pooling; a padding before a pooling is taken to be of the lowest number."""
        if not value.channels_last or node.text("data_format") != "NHWC" or node.text("padding") != "VALID":
            raise ValueError(f"{node.name} has its channels first, or pads by itself")
        strides = node.integers("strides")[1:3]
        name = self._graph.add(operator, *inputs, kernel_shape=kernel, strides=strides, pads=list(value.padding))
        return Value(name, channels_last=True, stride=value.stride * strides[0])

    def _add(self, node: Node) -> Value:
        value = self.value(node.inputs[0])
        if node.inputs[1] in self._source.constants:  # of each channel
            other = self._graph.constant(self._constant(node.inputs[1])[:, None, None], node.inputs[1])
            agree = value.channels_last
        else:
            added = self.value(node.inputs[1])
            other, agree = added.name, (added.channels_last, added.stride) == (value.channels_last, value.stride)
        if not agree or value.padding != _NO_PADDING:
            raise ValueError(f"{node.name} adds values of different shapes")
        return value._replace(name=self._graph.add("Add", value.name, other))

    def _leaky_relu(self, node: Node) -> Value:
        value = self.value(node.inputs[0])
        return value._replace(name=self._graph.add("LeakyRelu", value.name, alpha=node.number("alpha")))

    def _concat(self, node: Node) -> Value:
        *values, axis = [*map(self.value, node.inputs[:-1]), int(self._constant(node.inputs[-1]))]
        if axis != 1 or any(value != values[0]._replace(name=value.name) or value.channels_last for value in values):
            raise ValueError(f"{node.name} joins values of different shapes, or other axes than channels")
        return values[0]._replace(name=self._graph.add("Concat", *[value.name for value in values], axis=1))

    def _resize(self, node: Node) -> Value:
        value, (rows, columns) = self.value(node.inputs[0]), self._constant(node.inputs[1]).tolist()
        if rows != columns or not node.flag("half_pixel_centers") or node.flag("align_corners"):
            raise ValueError(f"{node.name} resizes to {rows} x {columns}, or not by the centers of pixels")
        stride = self._side // rows
        factors = self._graph.constant(np.array([1, 1, *[value.stride / stride] * 2], np.float32))
        resized = self._graph.add(
            "Resize", value.name, "", factors, mode="linear", coordinate_transformation_mode="half_pixel"
        )
        return value._replace(name=resized, stride=stride)
