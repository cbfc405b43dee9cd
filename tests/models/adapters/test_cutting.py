"""A model is cut before its last layer, and what is joined again does what the whole did."""

import numpy as np
import onnx
import pytest
from onnx import helper

from models.adapters.cutting import cut, joined, last_layer
from tests.support.onnx_models import INPUT, PLAIN, classifier, run


def test_the_parts_do_one_after_the_other_what_the_whole_does() -> None:
    model = classifier(PLAIN)
    body, head = cut(model)
    features = run(body, INPUT)
    assert features.shape == (2, 2, 5)
    np.testing.assert_array_equal(run(head, features), run(model, INPUT))


def test_joined_parts_have_the_inputs_the_outputs_and_the_metadata_of_the_whole() -> None:
    model = classifier(PLAIN)
    whole = joined(cut(model))
    assert [value.name for value in whole.graph.input] == ["x"]
    assert [value.name for value in whole.graph.output] == ["p"]
    assert [(entry.key, entry.value) for entry in whole.metadata_props] == [("character", "a b c")]
    np.testing.assert_array_equal(run(whole, INPUT), run(model, INPUT))


def test_each_weight_is_in_one_part() -> None:
    parts = cut(classifier(PLAIN))
    assert [{tensor.name for tensor in part.graph.initializer} for part in parts] == [{"w"}, {"v", "b"}]


def test_a_model_is_cut_at_the_tensor_that_is_named() -> None:
    model = classifier(PLAIN)
    parts = cut(model, "h")
    assert [node.op_type for node in parts.body.graph.node] == ["MatMul"]
    np.testing.assert_array_equal(run(joined(parts), INPUT), run(model, INPUT))


def test_weights_that_are_listed_as_inputs_are_none() -> None:
    model = classifier(PLAIN)
    model.graph.input.append(helper.make_tensor_value_info("v", onnx.TensorProto.FLOAT, [5, 4]))
    np.testing.assert_array_equal(run(cut(model).body, INPUT), run(cut(classifier(PLAIN)).body, INPUT))


def test_the_search_for_the_last_layer_stops_where_the_way_forks() -> None:
    model = classifier("f = MatMul(x, w) a = MatMul(f, v) c = Relu(a) p = Add(a, c)")
    with pytest.raises(ValueError, match=r"Add makes 'p' of 2 tensors \(a, c\).*name the tensor"):
        last_layer(model)


def test_a_model_without_weights_has_no_last_layer() -> None:
    with pytest.raises(ValueError, match="no MatMul, Gemm, Conv with stored weights leads to"):
        cut(classifier("p = Relu(x)", "float[n, t, 3] p"))


def test_a_tensor_that_is_not_all_that_the_head_takes_is_refused() -> None:
    model = classifier("f = MatMul(x, w) g = Relu(f) m = Mul(g, f) z = MatMul(m, v) p = Add(z, b)")
    with pytest.raises(ValueError, match="behind 'g' the model also takes"):
        cut(model, "g")


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        cut(classifier(PLAIN), "nowhere")
