"""With a small network in two parts. Its frames are a line's columns: dark is `a`, light is `b`, grey is nothing."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.ocr.recognition import Recognizer

WEIGHTS = np.array([[0, -9, 9, 0]], np.float32)
BIAS = np.array([3, 0, 0, 2.5], np.float32)


def session(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], rank: int) -> onnxruntime.InferenceSession:
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * rank)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 3)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"character": "a\nb"})
    return onnxruntime.InferenceSession(model.SerializeToString())


BODY = [
    helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
    helper.make_node("Unsqueeze", ["means", "last"], ["y"]),
]
AXES = {"axes": np.array([1, 2]), "last": np.array([2])}
HEAD = [
    helper.make_node("MatMul", ["x", "weights"], ["scores"]),
    helper.make_node("Add", ["scores", "bias"], ["logits"]),
    helper.make_node("Softmax", ["logits"], ["y"]),
]


def recognizer(space_weight: float = 1.0) -> Recognizer:
    return Recognizer(session(BODY, AXES, 4), session(HEAD, {"weights": WEIGHTS, "bias": BIAS}, 3), space_weight)


def line(*levels: int) -> NDArray[Any]:
    return np.tile(np.array(levels, np.uint8), (48, 1))


def best(symbols: NDArray[Any]) -> str:
    return "".join(chr(symbol) if symbol else "-" for symbol in symbols[:, 0])


def test_each_frame_of_a_line_has_its_best_symbols_through_both_parts() -> None:
    first, second = recognizer().read([line(0, 128, 255, 255), line(*[255] * 100)])
    assert best(first.symbols) == "a-bb"
    assert best(second.symbols) == "b" * 100
    assert first.probabilities.sum(axis=1) == pytest.approx(1)
    assert first.certainty() > 0.99


def test_lines_are_read_alike_in_whatever_company() -> None:
    [alone] = recognizer().read([line(0, 128, 255)])
    together = recognizer().read([line(*[255] * 60), line(0, 128, 255)])[1]
    assert np.array_equal(alone.probabilities, together.probabilities)


def test_a_weight_makes_spaces_more_probable() -> None:
    [plain], [weighted] = recognizer().read([line(128)]), recognizer(4.0).read([line(128)])
    assert (best(plain.symbols), best(weighted.symbols)) == ("-", " ")
    assert weighted.certainty() == 0
    odds = weighted.probabilities[0, 0] / weighted.probabilities[0, 1]
    assert odds == pytest.approx(4 * plain.probabilities[0, 1] / plain.probabilities[0, 0], rel=1e-4)


def test_a_network_that_does_not_name_its_symbols_is_refused() -> None:
    plain = onnxruntime.InferenceSession(
        onnx.helper.make_model(
            helper.make_graph(
                [helper.make_node("Identity", ["x"], ["y"])],
                "plain",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        ).SerializeToString()
    )
    with pytest.raises(ValueError, match="character"):
        Recognizer(plain)
