"""The last layer of a model is read and replaced, in whichever operator it is."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from models.adapters.cutting import cut
from models.adapters.linear_layer import LinearLayer, read_layer, updated, with_layer
from tests.support.onnx_models import INPUT, PLAIN, classifier, run

GEMM = "r = Reshape(x, s) h = MatMul(r, w) f = Relu(h) p = Gemm<transB = {transposed}>(f, v, b)"
CONV = (
    "y = Transpose<perm = [0, 2, 1]>(x) f = Conv<kernel_shape = [1]>(y, w) p = Conv<kernel_shape = [{size}]>(f, v, b)"
)


def with_shape(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 3]), "s"))
    return model


MODELS = {
    "matmul": classifier(PLAIN.replace(" p = Softmax<axis = 2>(i)", "").replace("i =", "p =")),
    "gemm": with_shape(classifier(GEMM.format(transposed=0), "float[n, 4] p")),
    "gemm transposed": with_shape(classifier(GEMM.format(transposed=1), "float[n, 4] p", v=(4, 5))),
    "conv": classifier(CONV.format(size=1), "float[n, 4, t] p", w=(5, 3, 1), v=(4, 5, 1)),
}


def rows(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """The features or scores of each frame, (frames, values)."""
    return (values.transpose(0, 2, 1) if kind == "conv" else values).reshape(-1, 5 if 5 in values.shape else 4)


@pytest.mark.parametrize("kind", MODELS)
def test_scores_of_the_layer_are_those_of_the_model(kind: str) -> None:
    model = MODELS[kind]
    layer, features = read_layer(model), rows(run(cut(model).body, INPUT), kind)
    assert (layer.weights.shape, layer.bias.shape) == ((5, 4), (4,))
    np.testing.assert_allclose(layer.scores(features), rows(run(model, INPUT), kind), rtol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_computes_with_the_weights_that_it_is_given(kind: str) -> None:
    model = MODELS[kind]
    rng = np.random.default_rng(1)
    layer = LinearLayer(rng.standard_normal((5, 4), np.float32), rng.standard_normal(4, np.float32))
    changed = with_layer(model, layer)
    features = rows(run(cut(model).body, INPUT), kind)
    np.testing.assert_allclose(rows(run(changed, INPUT), kind), layer.scores(features), rtol=1e-5)
    np.testing.assert_array_equal(read_layer(changed).weights, layer.weights)


def test_a_replaced_layer_leaves_the_model_as_it_was() -> None:
    model = classifier(PLAIN)
    before = model.SerializeToString()
    with_layer(model, updated(read_layer(model), [1], np.zeros((5, 1), np.float32), np.zeros(1, np.float32)))
    assert model.SerializeToString() == before


def test_only_the_classes_that_are_named_are_updated() -> None:
    layer = LinearLayer(np.ones((2, 4), np.float32), np.ones(4, np.float32))
    changed = updated(layer, [0, 2], np.full((2, 2), 7, np.float32), np.array([5, 6], np.float32))
    np.testing.assert_array_equal(changed.weights, [[7, 1, 7, 1]] * 2)
    np.testing.assert_array_equal(changed.bias, [5, 1, 6, 1])
    assert (layer.weights == 1).all()


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("h = MatMul(x, w) p = MatMul(h, v)", "has no bias"),
        ("h = MatMul(x, w) p = Gemm<alpha = 2.0>(h, v, b)", "scales its inputs"),
        (CONV.format(size=3), "over several positions"),
    ],
)
def test_a_layer_that_is_not_linear_or_has_no_bias_is_refused(layers: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_layer(classifier(layers))
