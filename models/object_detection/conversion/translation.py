"""Translating TensorFlow's operators to those of ONNX, for networks of convolutions.

TensorFlow puts the channels of an image last, ONNX first. So each value of the ONNX graph is (batch, channels, rows,
columns), and an array of TensorFlow's with one dimension has a number for each channel.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.nn.onnx_graph import Graph
from models.object_detection.conversion.tfjs import Node, TfjsGraph


class Translation:
    """Translates what some nodes of a graph need into an ONNX graph."""

    def __init__(self, source: TfjsGraph, graph: Graph, values: dict[str, str]) -> None:
        """Let `values` of the ONNX graph stand for the nodes of these names."""
        self._source, self._graph, self._values = source, graph, dict(values)

    def value(self, name: str) -> str:
        """Return the ONNX graph's value for a node, after all that it needs. Raises `ValueError` if it is not known."""
        if name in self._source.constants and name not in self._values:
            self._values[name] = self._graph.constant(_of_each_channel(self._source.constants[name]), name)
        if name not in self._values:
            self._values[name] = self._translated(self._source.nodes[name])
        return self._values[name]

    def _translated(self, node: Node) -> str:
        match node.operator:
            case "Add" | "AddN" | "BiasAdd" if len(node.inputs) == 2:
                return self._graph.add("Add", *map(self.value, node.inputs))
            case "Mul":
                return self._graph.add("Mul", *map(self.value, node.inputs))
            case "Relu6":
                limits = [self._graph.scalar(limit, np.float32) for limit in (0, 6)]
                return self._graph.add("Clip", self.value(node.inputs[0]), *limits)
            case "Conv2D":
                weights = self._source.constants[node.inputs[1]]  # rows, columns, channels, filters
                return self._convolved(node, weights.transpose(3, 2, 0, 1), 1)
            case "DepthwiseConv2dNative":
                weights = self._source.constants[node.inputs[1]]  # rows, columns, channels, 1
                return self._convolved(node, weights.transpose(2, 3, 0, 1), weights.shape[2])
            case "FusedBatchNorm":
                parameters = [self._graph.constant(self._source.constants[name]) for name in node.inputs[1:]]
                value = self.value(node.inputs[0])
                return self._graph.add("BatchNormalization", value, *parameters, epsilon=node.number("epsilon"))
        raise ValueError(f"the operator {node.operator} of {node.name} is not known")

    def _convolved(self, node: Node, weights: NDArray[Any], groups: int) -> str:
        dilations, strides = node.integers("dilations"), node.integers("strides")[1:3]
        if node.text("data_format") != "NHWC" or node.text("padding") != "SAME" or set(dilations) != {1}:
            raise ValueError(f"{node.name} is a convolution of another form")
        stored = self._graph.constant(weights, node.inputs[1])
        value = self.value(node.inputs[0])
        return self._graph.add("Conv", value, stored, strides=strides, group=groups, auto_pad="SAME_UPPER")


def _of_each_channel(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None, None] if values.ndim == 1 else values
