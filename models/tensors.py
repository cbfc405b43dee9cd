"""Features on the wire: tensors as raw little-endian bytes, one after the other.

Names, dtypes and shapes are JSON in the extension attribute `tensors`:
`[{"name": "image", "dtype": "uint8", "shape": [24, 96]}]`.
"""

import json
import math
from typing import Any

import numpy as np

from models.base import Features, Rejected

_DTYPES = {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"}
_DTYPES |= {"float16", "float32", "float64"}


def encode(features: Features) -> tuple[bytes, str]:
    """Return the bytes of all tensors, in the order of the dictionary, and their declaration."""
    declared: list[dict[str, Any]] = []
    parts = []
    for name, tensor in features.items():
        if tensor.dtype.name not in _DTYPES:
            raise TypeError(f"tensor {name!r} has dtype {tensor.dtype}; one of {sorted(_DTYPES)} is needed")
        declared.append({"name": name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)})
        parts.append(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes())
    return b"".join(parts), json.dumps(declared, separators=(",", ":"))


def decode(data: bytes, declaration: str) -> Features:
    """Return the tensors, as read-only views of `data`. Raises `Rejected` where bytes and declaration don't agree."""
    features: Features = {}
    offset = 0
    try:
        for tensor in json.loads(declaration):
            name, dtype, shape = str(tensor["name"]), str(tensor["dtype"]), [int(n) for n in tensor["shape"]]
            if dtype not in _DTYPES or min(shape, default=0) < 0:
                raise ValueError(f"tensor {name!r} has dtype {dtype!r} and shape {shape}")
            count = math.prod(shape)
            kind = np.dtype(dtype).newbyteorder("<")
            features[name] = np.frombuffer(data, kind, count, offset).reshape(shape)
            offset += count * kind.itemsize
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Rejected("bad_features", f"tensors and their declaration don't agree: {error}") from error
    if offset != len(data):
        raise Rejected("bad_features", f"{len(data)} bytes hold the tensors, {offset} are declared")
    return features
