import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from onnx import helper

from app.embedded.environment import environment
from app.events import ModelRef
from app.inference.client import InferenceClient
from app.inference.rawtensors import DTYPES
from app.inference.repository import RUNTIME, entry
from app.settings import CHECKOUT, Settings
from tests.support.platform import platform_settings

TASKS = {"letters": "tests.support.tasks:Letters"}
DOUBLING = ModelRef(name="letters", version="3")
ECHO = ModelRef(name="echo", version="1")


def add(config: Settings, model: ModelRef, graph: onnx.GraphProto) -> None:
    """Put a model of the test's own where MLServer loads from."""
    folder = config.model_repository / entry(model)
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    parameters = {"uri": "./model.onnx", "version": model.version}
    described = {"name": entry(model), "implementation": RUNTIME, "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(described))


def doubling() -> onnx.GraphProto:
    """Version 3 of `letters`: the sum, doubled."""
    letters = helper.make_tensor_value_info("letters", onnx.TensorProto.UINT8, ["batch", "length"])
    total = helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, ["batch"])
    nodes = [
        helper.make_node("Cast", ["letters"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f", "axes"], ["once"], keepdims=0),
        helper.make_node("Add", ["once", "once"], ["sum"]),
    ]
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    return helper.make_graph(nodes, "doubling", [letters], [total], [axes])


def echo() -> onnx.GraphProto:
    """A tensor of each dtype in, the same out."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for name, dtype in DTYPES.items()}
    inputs = [helper.make_tensor_value_info(name, kind, ["batch", None]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_OUT", kind, ["batch", None]) for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_OUT"]) for name in kinds]
    return helper.make_graph(nodes, "echo", inputs, outputs)


@contextmanager
def serving(config: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """MLServer as a process of its own, for as long as the block lasts."""
    with (config.home / "mlserver.log").open("ab") as log:
        command = [sys.executable, "-m", "app.inference.server"]
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment(config), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
async def mlserver_process(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """The real MLServer with versions 1 to 3 of the task `letters`, and the model `echo`."""
    config = platform_settings(tmp_path_factory.mktemp("mlserver"), tasks=TASKS, inference_threads=1)
    add(config, DOUBLING, doubling())
    add(config, ECHO, echo())
    with serving(config) as process:
        async with asyncio.timeout(60), InferenceClient(config) as client:
            for model in (ECHO, DOUBLING, *(ModelRef(name="letters", version=version) for version in "12")):
                await client.wait(model)
        yield config, process


@pytest.fixture(scope="session")
def mlserver(mlserver_process: tuple[Settings, subprocess.Popen[bytes]]) -> Settings:
    """The settings of the real MLServer."""
    return mlserver_process[0]


@pytest.fixture
async def client(mlserver: Settings) -> AsyncIterator[InferenceClient]:
    """A client of the real MLServer."""
    async with InferenceClient(mlserver) as client:
        yield client
