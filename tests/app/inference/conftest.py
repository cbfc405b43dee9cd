import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import numpy as np
import onnx
import pytest
from onnx import helper

from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.inference.mlserver.protocol import DTYPES
from app.inference.mlserver.repository import install
from app.registry.shipped import shipped_versions
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from models.manifest import write_version
from tests.support.otlp_collector import Collector, run_collector
from tests.support.platform import platform_settings
from tests.support.tasks import Letters

TASKS = {"letters": "tests.support.tasks:Letters"}
DOUBLING = ModelRef(name="letters", version="3")
ECHO = ModelRef(name="echo", version="1")


def doubling_graph() -> onnx.GraphProto:
    """Version 3 of `letters`: the sum, doubled."""
    letters = helper.make_tensor_value_info("letters", onnx.TensorProto.UINT8, ["batch", "length"])
    output = helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, ["batch"])
    nodes = [
        helper.make_node("Cast", ["letters"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f", "axes"], ["total"], keepdims=0),
        helper.make_node("Add", ["total", "total"], ["sum"]),
    ]
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    return helper.make_graph(nodes, "doubling", [letters], [output], [axes])


def echo_graph() -> onnx.GraphProto:
    """A model that returns its inputs, one of each dtype."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for name, dtype in DTYPES.items()}
    inputs = [helper.make_tensor_value_info(name, kind, ["batch", None]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_OUT", kind, ["batch", None]) for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_OUT"]) for name in kinds]
    return helper.make_graph(nodes, "echo", inputs, outputs)


@contextmanager
def run_mlserver(config: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLServer as a process within the block."""
    with (config.home / "mlserver.log").open("ab") as log:
        command = [sys.executable, "-m", "app.inference.mlserver.server"]
        process = subprocess.Popen(command, cwd=CHECKOUT, env=process_environment(config), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """The collector of the real MLServer's spans."""
    with run_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
async def mlserver_process(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> AsyncIterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """The real MLServer with versions 1 to 3 of the task `letters`, and the model `echo`."""
    config = platform_settings(
        tmp_path_factory.mktemp("mlserver"), tasks=TASKS, inference_threads=1, otlp_endpoint=collector.url
    )
    config.home.mkdir()
    models = {
        ModelRef(name="letters", version=number): path.read_bytes()
        for number, path in shipped_versions(Letters()).items()
    }
    models |= {DOUBLING: _onnx(doubling_graph()), ECHO: _onnx(echo_graph())}
    with run_mlserver(config) as process:
        async with asyncio.timeout(60), InferenceClient(config) as client:
            while not await _is_live(config):
                await asyncio.sleep(0.1)
            for model, content in models.items():
                install(config, model, partial(write_version, model=content, files={}, parent=None))
                await client.load(model)
        yield config, process


async def _is_live(config: Settings) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{config.mlserver_http_port}/v2/health/live")).status_code == 200
    except httpx.HTTPError:
        return False


def _onnx(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def mlserver(mlserver_process: tuple[Settings, subprocess.Popen[bytes]]) -> Settings:
    """The settings of the real MLServer."""
    return mlserver_process[0]


@pytest.fixture
async def client(mlserver: Settings) -> AsyncIterator[InferenceClient]:
    """A client of the real MLServer."""
    async with InferenceClient(mlserver) as client:
        yield client
