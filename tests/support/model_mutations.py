"""Mutations of ONNX models, as faulty exports and trainings make them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

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


def edit_output(op: str, *constants: NDArray[Any], dtype: int | None = None, **attributes: Any) -> Mutate:
    """Send the first output through a further node, with these constants as its further inputs."""

    def mutate(model: onnx.ModelProto) -> None:
        output = model.graph.output[0]
        name = output.name
        rename(name, "before")(model)
        output.name = name
        output.type.tensor_type.ClearField("shape")
        output.type.tensor_type.elem_type = dtype or output.type.tensor_type.elem_type
        names = [f"operand_{index}" for index in range(len(constants))]
        for constant_name, constant in zip(names, constants, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(constant, constant_name))
        model.graph.node.append(helper.make_node(op, ["before", *names], [name], **attributes))

    return mutate


def add_text_output(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(["a"], dtype=object), "names"))
    model.graph.node.append(helper.make_node("Identity", ["names"], ["labels"]))
    model.graph.output.append(helper.make_tensor_value_info("labels", TensorProto.STRING, [1]))


def add_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch"]))


def set_ir_version(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def write_mutant(tmp_path: Path, source: Path, mutate: Mutate) -> Path:
    model = onnx.load(source)
    mutate(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path
