"""The runtime of one ONNX file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.manifest import VersionFiles
from models.runtimes.base import Execution, Runtime, Tensors, TensorSpec

DTYPES = {
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""ONNX Runtime's names of the types of tensors that can be sent."""


class OnnxModel(Runtime):
    """One ONNX file, the only file of its version."""

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the only file. Raises `ValueError` if there are several, or for a type of tensor that can't be sent."""
        names = list(files.manifest.files)
        if len(names) != 1:
            raise ValueError(f"the runtime `onnx` takes one file, not {len(names)}: {', '.join(names)}")
        self._serve(execution.open(files.path(names[0])))

    def _serve(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.inputs, self.outputs = specs(self._session.get_inputs()), specs(self._session.get_outputs())
        self._names = list(self.outputs)

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs for a batch."""
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))


class UnsupportedType(ValueError):
    """A tensor of a type that can't be sent, such as a string or a sequence of maps."""

    def __init__(self, tensor: str, kind: str) -> None:
        super().__init__(f"the tensor {tensor} is of type {kind}, which can't be sent")
        self.tensor, self.kind = tensor, kind


def specs(tensors: Sequence[Any]) -> dict[str, TensorSpec]:
    """Return the specs of a session's inputs or outputs. Raises `UnsupportedType`."""
    return {tensor.name: TensorSpec(_dtype(tensor), tuple(map(_size, tensor.shape))) for tensor in tensors}


def _dtype(tensor: onnxruntime.NodeArg) -> np.dtype[Any]:
    if tensor.type not in DTYPES:
        raise UnsupportedType(tensor.name, tensor.type)
    return DTYPES[tensor.type]


def _size(size: int | str | None) -> int | None:
    return size if isinstance(size, int) else None
