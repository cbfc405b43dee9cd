"""Passes tensors through MLServer as arrays over the raw bytes of gRPC messages.

MLServer 1.7 unpacks `raw_input_contents` into Python lists, one object per number, and packs its outputs from such
lists: milliseconds per batch on its event loop. `install` replaces the lists by arrays.
"""

import numpy as np
from mlserver.grpc import converters
from mlserver.types import RequestInput, ResponseOutput, TensorData
from numpy.typing import NDArray

from app.inference.mlserver.protocol import DTYPES


def dtype_of(tensor: RequestInput | ResponseOutput) -> np.dtype[np.generic] | None:
    """Return the dtype of a tensor's datatype, which MLServer has as text or as an enumeration; None for BYTES."""
    return DTYPES.get(str(getattr(tensor.datatype, "value", tensor.datatype)))


def inject(tensors: list[RequestInput], raw_contents: list[bytes]) -> list[RequestInput]:
    """Give each tensor without data the next raw content. Raises ValueError if a content does not fit."""
    remaining = iter(raw_contents)
    for tensor in tensors:
        if len(tensor.data) == 0:
            raw = next(remaining, None)
            if raw is None:
                raise ValueError(f"input {tensor.name!r} has neither contents nor raw contents")
            tensor.data = TensorData.model_construct(root=_array(tensor, raw))
    return tensors


def _array(tensor: RequestInput, raw: bytes) -> NDArray[np.generic]:
    dtype = dtype_of(tensor)
    if dtype is None:
        raise ValueError(f"input {tensor.name!r} is of {tensor.datatype}; one of {', '.join(DTYPES)} is needed")
    return np.frombuffer(raw, dtype).reshape(tensor.shape)


def extract(tensors: list[ResponseOutput]) -> tuple[list[ResponseOutput], list[bytes]]:
    """Move each tensor's data into raw contents."""
    raw_contents = []
    for tensor in tensors:
        dtype = dtype_of(tensor)
        if dtype is None:
            raise ValueError(f"output {tensor.name!r} is of {tensor.datatype}; one of {', '.join(DTYPES)} is needed")
        raw_contents.append(np.asarray(tensor.data.root).astype(dtype, copy=False).tobytes())
        tensor.data = TensorData.model_construct(root=[])
    return tensors, raw_contents


def install() -> None:
    """Make MLServer's gRPC converters use arrays. REST does not change."""
    converters.inject_raw = inject
    converters.extract_raw = extract
