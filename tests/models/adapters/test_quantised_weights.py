"""Weights of eight bits are read as numbers and changed within their scale."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.adapters.quantised_weights import QuantisedWeights, initializers, quantised, read_graph

WEIGHTS = QuantisedWeights("w_quantized", np.array([[0, 128, 250]], np.uint8), 0.5, 128)


def test_values_are_steps_from_the_zero_point() -> None:
    assert WEIGHTS.values().tolist() == [[-64.0, 0.0, 61.0]]


def test_an_update_is_rounded_to_steps_and_clipped_to_eight_bits() -> None:
    assert WEIGHTS.plus(np.array([[0.2, -0.3, 9.0]], np.float32)).tolist() == [[0, 127, 255]]
    np.testing.assert_array_equal(WEIGHTS.plus(np.zeros((1, 3), np.float32)), WEIGHTS.integers)


def test_weights_are_found_in_a_file_by_their_names(tmp_path: Path) -> None:
    stored = {
        "w_quantized": WEIGHTS.integers,
        "w_scale": np.array(0.5, np.float32),
        "w_zero_point": np.array(128, np.uint8),
    }
    node = helper.make_node("DequantizeLinear", list(stored), ["y"])
    graph = helper.make_graph(
        [node],
        "weights",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    found = quantised(initializers(read_graph(tmp_path / "model.onnx")), "w_quantized")
    assert (found.name, found.scale, found.zero_point) == ("w_quantized", 0.5, 128)
    np.testing.assert_array_equal(found.values(), WEIGHTS.values())
