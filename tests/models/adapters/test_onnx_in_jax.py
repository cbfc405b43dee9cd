"""JAX computes what ONNX Runtime computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.adapters.onnx_in_jax import OnnxInJax
from tests.support.onnx_models import INPUT, PLAIN, classifier, run

NORM = """
    m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) q = Mul(d, d) v0 = ReduceMean<axes = [-1]>(q) e = Sqrt(v0)
    l = Div(d, e) h = MatMul(l, w) f = Sigmoid(h) p = MatMul(f, v)
"""
SHAPES = """
    one = Constant<value = int64[1] {1}>() two = Constant<value = int64[1] {2}>()
    last = Constant<value = int64[1] {-1}>() three = Constant<value = int64[1] {3}>()
    s = Shape(x) n0 = Slice(s, one, two) flat = Concat<axis = 0>(last, n0, three)
    r = Reshape(x, flat) u = Unsqueeze(r, two) g = Squeeze(u, two) h = MatMul(g, w) f = Tanh(h) p = MatMul(f, v)
"""
CONV = """
    y = Transpose<perm = [0, 2, 1]>(x) c = Conv<kernel_shape = [3], pads = [1, 1], group = 1>(y, k)
    bn = BatchNormalization<epsilon = 0.01>(c, g, b, b, q) r = LeakyRelu<alpha = 0.1>(bn) h = HardSigmoid(r)
    t = Transpose<perm = [0, 2, 1]>(h) p = Softmax<axis = 2>(t)
"""
MODELS = {
    "layers": classifier(PLAIN),
    "normalised": classifier(NORM),
    "shapes": classifier(SHAPES),
    "convolution": classifier(CONV, k=(4, 3, 3), g=(4,), q=(4,)),
}


@pytest.fixture(autouse=True)
def variances_are_positive() -> None:
    for tensor in MODELS["convolution"].graph.initializer:
        if tensor.name == "q":
            tensor.raw_data = np.array([0.5, 1, 2, 3], np.float32).tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_onnx_runtime(name: str) -> None:
    graph = OnnxInJax(MODELS[name])
    outputs = jax.jit(graph)({}, {"x": INPUT})
    np.testing.assert_allclose(outputs["p"], run(MODELS[name], INPUT), rtol=1e-5, atol=1e-6)


def test_other_weights_take_the_place_of_stored_ones_and_have_slopes() -> None:
    graph = OnnxInJax(MODELS["layers"])

    def loss(bias: jax.Array) -> jax.Array:
        return -jnp.log(graph({"b": bias}, {"x": INPUT})["p"][..., 2]).sum()

    start = jnp.asarray(graph.weights["b"])
    slope = jax.grad(loss)(start)
    assert loss(start - 0.1 * slope) < loss(start)


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(ValueError, match="Elu can't be computed here"):
        OnnxInJax(classifier("h = MatMul(x, w) f = Elu(h) p = MatMul(f, v)"))
