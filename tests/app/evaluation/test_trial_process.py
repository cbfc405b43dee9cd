"""A model is tried in a process of its own, with bounds on time and memory."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import SetupError
from app.evaluation import trial_process
from app.evaluation.shipped_comparison import TrialResult
from app.evaluation.trial_process import check_model
from app.settings import CHECKOUT, Settings

LETTERS = CHECKOUT / "tests/support/versions/1/model.onnx"


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", tasks={"letters": "tests.support.tasks:Letters"})


def write_letters_model(path: Path, nodes: list[onnx.NodeProto], *initializers: onnx.TensorProto) -> Path:
    """Write a model from `letters` uint8 (batch, length) to `sum` float (batch,)."""
    graph = helper.make_graph(
        nodes,
        "letters",
        [helper.make_tensor_value_info("letters", TensorProto.UINT8, ["batch", "length"])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch"])],
        list(initializers),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_good_model_is_tried_in_a_process_of_its_own(config: Settings) -> None:
    assert check_model(config, "letters", LETTERS) == TrialResult(1, 1.0, 1.0)


def test_a_model_that_never_answers_is_refused(config: Settings, tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["again"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["", "forever", "zero"], ["end"], body=body),
        helper.make_node("Cast", ["letters"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "end"], ["sum"]),
    ]
    path = write_letters_model(
        tmp_path / "loop.onnx",
        nodes,
        numpy_helper.from_array(np.array(True), "forever"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([1], np.int64), "axes"),
    )
    with pytest.raises(SetupError, match="has not answered the samples of letters within 3 s"):
        check_model(config, "letters", path, seconds=3)


def test_a_model_that_takes_too_much_memory_is_refused(config: Settings, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["total"], keepdims=0),
        helper.make_node("Cast", ["letters"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "total"], ["sum"]),
    ]
    size = trial_process.MEMORY_BYTES // 2
    path = write_letters_model(
        tmp_path / "huge.onnx",
        nodes,
        numpy_helper.from_array(np.array([size], np.int64), "size"),
        numpy_helper.from_array(np.array([1], np.int64), "axes"),
    )
    with pytest.raises(SetupError, match=r"memory") as refused:
        check_model(config, "letters", path)
    assert refused.value.remedy
