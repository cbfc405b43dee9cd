"""Small ONNX models, written as text, and what they answer."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, parser

from models.nn.onnx_inference import session

INPUT = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)


def classifier(layers: str, outputs: str = "float[n, t, 4] p", **weights: tuple[int, ...]) -> onnx.ModelProto:
    """A model of an input `x` (batch, frames, 3), with weights by chance."""
    header = '<ir_version: 8, opset_import: ["": 17]>'
    model = parser.parse_model(f"{header} g (float[n, t, 3] x) => ({outputs}) {{ {layers} }}")
    rng = np.random.default_rng(0)
    for name, shape in {"w": (3, 5), "v": (5, 4), "b": (4,), **weights}.items():
        array = rng.standard_normal(shape, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    helper.set_model_props(model, {"character": "a b c"})
    return model


PLAIN = "h = MatMul(x, w) f = Relu(h) z = MatMul(f, v) s = Add(z, b) i = Identity(s) p = Softmax<axis = 2>(i)"


def run(model: onnx.ModelProto, feed: NDArray[Any]) -> NDArray[Any]:
    served = session(model.SerializeToString())
    (output,) = served.run(None, {served.get_inputs()[0].name: feed})
    return np.asarray(output)
