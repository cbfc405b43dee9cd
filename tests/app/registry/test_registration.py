"""The signature of a model is read from its file, which must be complete."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import SetupError
from app.registry.registration import read_signature


def sum_model() -> onnx.ModelProto:
    """Return a model that multiplies by weights."""
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_signature_has_the_inputs_and_outputs_of_a_model() -> None:
    found = read_signature(sum_model().SerializeToString())
    assert found == {"input x": ("tensor(float)", 2), "output y": ("tensor(float)", 2)}


def test_a_model_with_external_weights_is_refused_even_if_they_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(sum_model(), "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(SetupError, match="its weights are in another file") as refused:
        read_signature(Path("model.onnx").read_bytes())
    assert "Save it as one" in refused.value.remedy
