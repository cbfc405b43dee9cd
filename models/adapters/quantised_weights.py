"""Weights of a model that is quantised to eight bits: read as numbers, and changed within their scale."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from models.adapters.linear_layer import Floats

_SUFFIX = "_quantized"


@dataclass(frozen=True)
class QuantisedWeights:
    """Weights `scale * (integers - zero_point)`, one scale for all of them, stored as the initializer `name`."""

    name: str
    integers: NDArray[Any]
    scale: float
    zero_point: int

    def values(self) -> Floats:
        """Return the weights."""
        return np.float32(self.scale) * (self.integers.astype(np.float32) - np.float32(self.zero_point))

    def plus(self, update: Floats) -> NDArray[Any]:
        """Return the integers of the weights with what is added: rounded, and clipped to what eight bits hold."""
        bounds = np.iinfo(self.integers.dtype)
        changed = np.rint(self.integers.astype(np.float64) + update / self.scale)
        return np.clip(changed, bounds.min, bounds.max).astype(self.integers.dtype)


def read_graph(path: Path) -> onnx.ModelProto:
    """Return the graph of an ONNX or ORT file as it stands. ONNX Runtime converts the latter."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ONNX")
    with TemporaryDirectory() as directory:
        options.optimized_model_filepath = str(Path(directory) / "model.onnx")
        onnxruntime.InferenceSession(path, options)
        return onnx.load(options.optimized_model_filepath)


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the weights that a model stores, those that its branches share."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def quantised(stored: Mapping[str, NDArray[Any]], name: str) -> QuantisedWeights:
    """Return the weights of an initializer `..._quantized`, with those of `..._scale` and `..._zero_point`."""
    stem = name.removesuffix(_SUFFIX)
    return QuantisedWeights(
        name, stored[name], float(stored[f"{stem}_scale"].item()), int(stored[f"{stem}_zero_point"].item())
    )


def weights_by_output(
    graph: onnx.GraphProto, stored: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, list[str], onnx.NodeProto]]:
    """Yield each operator that takes stored weights: the name of its output, and of these weights."""
    for node in graph.node:
        if names := [name for name in node.input if name in stored]:
            yield node.output[0], names, node
