"""A model is tried before it is registered: it serves all samples of its task, or is refused with a remedy."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import SetupError
from app.evaluation import trial_process
from app.evaluation.model_trial import try_model
from app.evaluation.trial_process import check_model
from app.settings import CHECKOUT, Settings
from models.base import Task
from models.decision import Decision
from models.ocr import Ocr
from tests.support.tasks import Letters

OCR = CHECKOUT / "models/ocr/versions/1/model.onnx"
DECISION = CHECKOUT / "models/decision/versions/1/model.onnx"
LETTERS = CHECKOUT / "tests/support/versions/1/model.onnx"

Mutate = Callable[[onnx.ModelProto], object]


def fix_sizes(*sizes: int | None) -> Mutate:
    """Give the first input fixed sizes; None leaves a dimension as it is."""

    def mutate(model: onnx.ModelProto) -> None:
        for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes, strict=False):
            if size is not None:
                dimension.ClearField("dim_param")
                dimension.dim_value = size
        del model.graph.value_info[:]

    return mutate


def fill_weights(value: float) -> Mutate:
    """Give every matrix of weights this value."""

    def mutate(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
                filled = np.full(tuple(tensor.dims), value, np.float32)
                tensor.CopyFrom(numpy_helper.from_array(filled, tensor.name))

    return mutate


def rename(old: str, new: str) -> Mutate:
    def mutate(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.name = new if tensor.name == old else tensor.name

    return mutate


def set_input_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def normalise_over_batch(model: onnx.ModelProto) -> None:
    """Subtract from the first output its mean over the batch."""
    name = model.graph.output[0].name
    rename(name, "before")(model)
    model.graph.output[0].name = name
    model.graph.node.append(helper.make_node("ReduceMean", ["before"], ["mean"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Sub", ["before", "mean"], [name]))


def add_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.output[0].name], ["extra"]))
    extra = copy.deepcopy(model.graph.output[0])
    extra.name = "extra"
    model.graph.output.append(extra)


def write_mutant(tmp_path: Path, source: Path, mutate: Mutate) -> Path:
    model = onnx.load(source)
    mutate(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("task", "path"), [(Ocr(), OCR), (Decision(), DECISION), (Letters(), LETTERS)])
async def test_a_shipped_model_answers_all_samples(task: Task, path: Path) -> None:
    assert await try_model(task, path, 8) == len(task.samples())


@pytest.mark.parametrize("mutate", [add_output, fill_weights(0.0)], ids=["another output", "zeros"])
async def test_a_model_that_answers_is_accepted(tmp_path: Path, mutate: Mutate) -> None:
    assert await try_model(Ocr(), write_mutant(tmp_path, OCR, mutate), 4) == len(Ocr().samples())


@pytest.mark.parametrize(
    ("mutate", "says", "remedy"),
    [
        pytest.param(fix_sizes(1), "batch of 2 samples: its input image has the fixed size 1", "dynamic", id="batch"),
        pytest.param(fix_sizes(None, None, 256), "has the fixed size 256 in dimension 2", "dynamic", id="width"),
        pytest.param(fix_sizes(1, None, 256), "has the fixed size 256 in dimension 2", "dynamic", id="both"),
        pytest.param(fill_weights(float("nan")), "has NaN for the sample", "diverges", id="NaN"),
        pytest.param(rename("image", "picture"), "can't take", "inputs that take image uint8", id="input's name"),
        pytest.param(rename("log_probs", "output_0"), "can't be used", "Ocr.decode reads", id="output's name"),
        pytest.param(set_input_type, "can't load|can't take", "Export it", id="input's type"),
        pytest.param(normalise_over_batch, "depends on the samples that share its batch", "eval", id="batch mean"),
        pytest.param(lambda model: setattr(model, "ir_version", 99), "IR version", "ONNX Runtime", id="IR 99"),
        pytest.param(
            lambda model: setattr(model.opset_import[0], "version", 99), "opset", "opset_version", id="opset 99"
        ),
    ],
)
async def test_a_model_that_would_fail_requests_is_refused_with_the_remedy(
    tmp_path: Path, mutate: Mutate, says: str, remedy: str
) -> None:
    with pytest.raises(SetupError, match=says) as refused:
        await try_model(Ocr(), write_mutant(tmp_path, OCR, mutate), 4)
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive, as PyTorch"),
        (b"\x80\x05\x95" + bytes(100), "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        (b"not a model", "can't load"),
        (OCR.read_bytes()[:-1000], "can't load"),
    ],
)
async def test_a_file_that_is_no_whole_onnx_file_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=says) as refused:
        await try_model(Ocr(), path, 4)
    assert "Export it" in refused.value.remedy


async def test_a_model_whose_weights_are_in_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.load(OCR), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(SetupError, match="its weights are in another file") as refused:
        await try_model(Ocr(), path, 4)
    assert "Save it as one file" in refused.value.remedy


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
    assert check_model(config, "letters", LETTERS) == 1


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
    with pytest.raises(SetupError, match="has not answered the samples of letters within 5 s"):
        check_model(config, "letters", path, seconds=5)


def test_a_model_that_takes_too_much_memory_is_refused(
    config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
