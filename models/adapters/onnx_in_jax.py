"""Compute an ONNX graph in JAX, so that its weights can be learned.

Only what the last layers of networks are made of; shapes are computed by numpy, because JAX must know them in advance.
Operators are those of the ONNX specification, opsets 11 to 17.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Arrays = Mapping[str, Any]


def _library(*values: Any) -> Any:
    """Return numpy for what is known in advance, such as shapes and weights, otherwise JAX's."""
    return np if all(isinstance(value, np.ndarray | np.generic) for value in values) else jnp


def _axes(attributes: Arrays, inputs: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Return axes from the attribute, or from the input that later opsets have in its place."""
    given = attributes["axes"] if "axes" in attributes else (inputs[0] if inputs else None)
    return None if given is None else tuple(np.asarray(given).tolist())


def _reshape(_: Arrays, x: Any, shape: Any) -> Any:
    sizes = np.asarray(shape).tolist()
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def _unsqueeze(attributes: Arrays, x: Any, *inputs: Any) -> Any:
    return _library(x).expand_dims(x, _axes(attributes, inputs))


def _slice(_: Arrays, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    count = len(starts)
    chosen = [slice(None)] * x.ndim
    places = range(count) if axes is None else np.asarray(axes).tolist()
    strides = [1] * count if steps is None else np.asarray(steps).tolist()
    for axis, start, end, step in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
        chosen[axis] = slice(start, end, step)
    return x[tuple(chosen)]


def _per_channel(x: Any, values: Any) -> Any:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _conv(attributes: Arrays, x: Any, weights: Any, bias: Any = None) -> Any:
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise ValueError("a Conv with automatic padding can't be computed here: store the padding")
    sizes = weights.ndim - 2
    pads = list(attributes.get("pads", [0] * 2 * sizes))
    result = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(weights),
        attributes.get("strides", [1] * sizes),
        list(zip(pads[:sizes], pads[sizes:], strict=True)),
        rhs_dilation=attributes.get("dilations", [1] * sizes),
        feature_group_count=attributes.get("group", 1),
    )
    return result if bias is None else result + _per_channel(x, bias)


def _batch_normalization(attributes: Arrays, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    factor = scale / _library(variance).sqrt(variance + np.float32(attributes.get("epsilon", 1e-5)))
    return (x - _per_channel(x, mean)) * _per_channel(x, factor) + _per_channel(x, bias)


def _gemm(attributes: Arrays, x: Any, weights: Any, bias: Any = 0.0) -> Any:
    x, weights = (matrix.T if attributes.get(name) else matrix for matrix, name in ((x, "transA"), (weights, "transB")))
    return attributes.get("alpha", 1.0) * (x @ weights) + attributes.get("beta", 1.0) * bias


def _reduce_mean(attributes: Arrays, x: Any, *inputs: Any) -> Any:
    return _library(x).mean(x, _axes(attributes, inputs), keepdims=bool(attributes.get("keepdims", 1)))


def _hard_sigmoid(attributes: Arrays, x: Any) -> Any:
    return jnp.clip(attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5), 0, 1)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, x, y: x + y,
    "BatchNormalization": _batch_normalization,
    "Cast": lambda attributes, x: x.astype(helper.tensor_dtype_to_np_dtype(attributes["to"])),
    "Concat": lambda attributes, *xs: _library(*xs).concatenate(xs, attributes["axis"]),
    "Constant": lambda attributes: numpy_helper.to_array(attributes["value"]),
    "Conv": _conv,
    "Div": lambda _, x, y: x / y if np.issubdtype(x.dtype, np.floating) else x // y,
    "Erf": lambda _, x: jax.scipy.special.erf(x),
    "Gather": lambda attributes, x, places: _library(x, places).take(x, places, attributes.get("axis", 0)),
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda _, x: x,
    "LeakyRelu": lambda attributes, x: jax.nn.leaky_relu(x, attributes.get("alpha", 0.01)),
    "LogSoftmax": lambda attributes, x: jax.nn.log_softmax(x, attributes.get("axis", -1)),
    "MatMul": lambda _, x, y: x @ y,
    "Mul": lambda _, x, y: x * y,
    "Pow": lambda _, x, y: x**y,
    "ReduceMean": _reduce_mean,
    "Relu": lambda _, x: jax.nn.relu(x),
    "Reshape": _reshape,
    "Shape": lambda _, x: np.array(x.shape),
    "Sigmoid": lambda _, x: jax.nn.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda attributes, x: jax.nn.softmax(x, attributes.get("axis", -1)),
    "Sqrt": lambda _, x: _library(x).sqrt(x),
    "Squeeze": lambda attributes, x, *inputs: _library(x).squeeze(x, _axes(attributes, inputs)),
    "Sub": lambda _, x, y: x - y,
    "Tanh": lambda _, x: jnp.tanh(x),
    "Transpose": lambda attributes, x: _library(x).transpose(x, attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
}
"""Each takes the attributes and the inputs, and returns its only output."""


class OnnxInJax:
    """The graph of a model as a function of its weights and its inputs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Raise `ValueError` if the model has an operator that is not known here."""
        self.weights: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.inputs = [value.name for value in model.graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in model.graph.output]
        self._nodes = [
            (node.op_type, {one.name: helper.get_attribute_value(one) for one in node.attribute}, node)
            for node in model.graph.node
        ]
        if unknown := sorted({operator for operator, *_ in self._nodes} - set(OPERATORS)):
            raise ValueError(f"{', '.join(unknown)} can't be computed here: cut the model behind it")

    def __call__(self, weights: Arrays, inputs: Arrays) -> dict[str, Any]:
        """Return the outputs by name; `weights` are those that differ from the stored ones."""
        values: dict[str, Any] = {**self.weights, **weights, **inputs}
        for operator, attributes, node in self._nodes:
            taken = [values[name] if name else None for name in node.input]
            values[node.output[0]] = OPERATORS[operator](attributes, *taken)
        return {name: values[name] for name in self.outputs}
