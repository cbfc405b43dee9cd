"""Writing an ONNX graph by hand: one call an operator, weights as named initializers.

The network's own module says what is computed; this only spares it the bookkeeping. Operators and their attributes
are those of the ONNX specification, opset 17 (runs on ONNX Runtime 1.14 and later).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 17, 8

Dimensions = Sequence[str | int]


class Graph:
    """A graph under construction. Values are referred to by their names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def input(self, name: str, dtype: type[np.generic], shape: Dimensions) -> str:
        """Declare an input; dimensions given as strings are free."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, value: str, dtype: type[np.generic], shape: Dimensions) -> None:
        """Declare `value` to be the output called `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """Return an array stored in the model; `name` makes it findable, as the weights should be."""
        name = name or f"constant_{len(self._initializers)}"
        if name in self._initializers:
            raise ValueError(f"two arrays called {name!r}")
        self._initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output, and return the output's name."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add an operator with several outputs, and return their names."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        names = [name if number == 0 else f"{name}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Return the value in another type."""
        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def scalar(self, value: float, dtype: type[np.generic]) -> str:
        """Return a constant without dimensions."""
        return self.constant(np.array(value, dtype))

    def size(self, value: str, axis: int) -> str:
        """Return the length of one axis, int64, shape ()."""
        return self.add("Gather", self.add("Shape", value), self.scalar(axis, np.int64))

    def positions_below(self, lengths: str, total: str) -> str:
        """Add a mask, float32 (batch, total): 1.0 where a position is below the row's length (int32)."""
        positions = self.add("Range", self.scalar(0, np.int64), total, self.scalar(1, np.int64))
        limits = self.add("Unsqueeze", self.cast(lengths, np.int64), self.constant(np.array([1])))
        return self.cast(self.add("Less", positions, limits), np.float32)

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the whole, checked by ONNX. `metadata` is stored in the file."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph, producer_name="hindsight", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def stored_arrays(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the arrays of a model by name: so that a later training can start from an earlier model."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
