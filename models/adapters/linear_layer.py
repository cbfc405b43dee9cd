"""Read and replace the weights of a model's last layer, where it is linear: MatMul, Gemm, or Conv of size 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.adapters.cutting import last_layer

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinearLayer:
    """`weights` (features, classes) and `bias` (classes,): scores are `features @ weights + bias`."""

    weights: Floats
    bias: Floats

    def scores(self, features: Floats) -> Floats:
        """Return the scores of features (..., features), (..., classes)."""
        return np.asarray(features @ self.weights + self.bias)


def read_layer(model: onnx.ModelProto) -> LinearLayer:
    """Return the last layer of a model. Raises `ValueError` if it is not linear, or has no bias."""
    node, bias = _layer(model)
    weights = _oriented(node, _array(model, node.input[1]))
    return LinearLayer(weights.astype(np.float32), _array(model, bias).reshape(-1).astype(np.float32))


def with_layer(model: onnx.ModelProto, layer: LinearLayer) -> onnx.ModelProto:
    """Return a copy of a model with other weights in its last layer, of the same shapes and types."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node, bias = _layer(changed)
    old = _array(changed, node.input[1])
    _store(changed, node.input[1], _oriented(node, layer.weights).reshape(old.shape).astype(old.dtype))
    old = _array(changed, bias)
    _store(changed, bias, layer.bias.reshape(old.shape).astype(old.dtype))
    return changed


def _layer(model: onnx.ModelProto) -> tuple[onnx.NodeProto, str]:
    """Return the operator and the name of its bias, which of MatMul is a constant that is added behind it."""
    node = last_layer(model)
    if node.op_type == "Conv" and any(size != 1 for size in _attribute(node, "kernel_shape", [1])):
        raise ValueError("the last layer is a convolution over several positions, which is not linear in one of them")
    if node.op_type == "Gemm" and (_attribute(node, "alpha", 1.0), _attribute(node, "beta", 1.0)) != (1.0, 1.0):
        raise ValueError("the last layer is a Gemm that scales its inputs, which is not supported")
    if node.op_type != "MatMul":
        if len(node.input) < 3:
            raise ValueError(f"the last layer, a {node.op_type}, has no bias")
        return node, node.input[2]
    stored = {tensor.name for tensor in model.graph.initializer}
    for following in model.graph.node:
        if following.op_type == "Add" and node.output[0] in following.input:
            bias = next((name for name in following.input if name in stored), None)
            if bias is not None:
                return node, bias
    raise ValueError("the last layer, a MatMul, has no bias: nothing stored is added to it")


def _oriented(node: onnx.NodeProto, weights: NDArray[Any]) -> NDArray[Any]:
    """Turn weights of the operator's layout to (features, classes), or back."""
    if node.op_type == "Conv":
        return weights.reshape(weights.shape[:2]).T
    return weights.T if _attribute(node, "transB", 0) else weights


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _array(model: onnx.ModelProto, name: str) -> NDArray[Any]:
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def _store(model: onnx.ModelProto, name: str, value: NDArray[Any]) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def updated(layer: LinearLayer, classes: Sequence[int], weights: Floats, bias: Floats) -> LinearLayer:
    """Return the layer with these columns and biases for some classes."""
    changed = LinearLayer(layer.weights.copy(), layer.bias.copy())
    changed.weights[:, list(classes)] = weights
    changed.bias[list(classes)] = bias
    return changed
