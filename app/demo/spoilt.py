"""A version that is bad on purpose."""

import numpy as np
import onnx
from onnx import numpy_helper

_SHARE = 0.5


def spoilt(model: bytes, seed: int) -> bytes:
    """An ONNX model with half of each weight tensor's values exchanged among each other, and their signs turned.

    Shapes, types and names stay: it loads, answers as fast as before, and is wrong.
    """
    loaded, rng = onnx.load_from_string(model), np.random.default_rng(seed)
    for tensor in loaded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if not np.issubdtype(values.dtype, np.floating) or values.size < 2:
            continue
        flat = values.flatten()
        chosen = rng.permutation(flat.size)[: max(2, round(_SHARE * flat.size))]
        flat[chosen] = -flat[rng.permutation(chosen)]
        tensor.CopyFrom(numpy_helper.from_array(flat.reshape(values.shape), tensor.name))
    return bytes(loaded.SerializeToString())
