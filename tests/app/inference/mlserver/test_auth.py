"""Without the token a caller sees MLServer's health, and cannot run, load or unload a model."""

import asyncio
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc import model_repository_pb2_grpc
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from pydantic import SecretStr

from app.errors import SetupError, Unavailable
from app.events.base import ModelRef
from app.inference.mlserver import token
from app.inference.mlserver.auth import PUBLIC_PATHS
from app.inference.mlserver.client import InferenceClient
from app.settings import Settings
from tests.support.platform import platform_settings

FIRST = ModelRef(name="letters", version="1")
TENSOR = {"name": "letters", "datatype": "UINT8", "shape": [1, 2], "data": [1, 2]}
REQUESTS = {
    "ServerLive": pb.ServerLiveRequest(),
    "ServerReady": pb.ServerReadyRequest(),
    "ServerMetadata": pb.ServerMetadataRequest(),
    "ModelReady": pb.ModelReadyRequest(name="letters-1"),
    "ModelMetadata": pb.ModelMetadataRequest(name="letters-1"),
    "ModelInfer": pb.ModelInferRequest(model_name="letters-1"),
    "RepositoryIndex": pb.RepositoryIndexRequest(),
    "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name="letters-1"),
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name="letters-1"),
}
ROUTES = [
    ("GET", "/v2"),
    ("GET", "/v2/docs"),
    ("GET", "/v2/models/letters-1"),
    ("POST", "/v2/models/letters-1/infer"),
    ("POST", "/v2/models/letters-1/versions/1/infer"),
    ("POST", "/v2/models/letters-1/generate_stream"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/letters-1/load"),
    ("POST", "/v2/repository/models/letters-1/unload"),
]
WRONG_HEADERS: list[dict[str, str]] = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}]


async def send_http(mlserver: Settings, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{mlserver.mlserver_http_port}{path}"
        return await http.request(method, url, headers=headers, json={"inputs": [TENSOR]} if method == "POST" else None)


@pytest.mark.parametrize("method", REQUESTS)
async def test_grpc_refuses_every_call_without_the_token(
    mlserver: Settings, client: InferenceClient, method: str
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        for headers in WRONG_HEADERS:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                call = getattr(GRPCInferenceServiceStub(channel), method)
                await call(REQUESTS[method], metadata=tuple(headers.items()))
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert await client.serves(FIRST)


async def test_grpc_does_not_serve_the_second_repository_service(mlserver: Settings, client: InferenceClient) -> None:
    credentials = tuple(token.auth_headers(token.load_or_create(mlserver)).items())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        for metadata, code in (((), "UNAUTHENTICATED"), (credentials, "UNIMPLEMENTED")):
            with pytest.raises(grpc.aio.AioRpcError, match=code):
                stub = model_repository_pb2_grpc.ModelRepositoryServiceStub(channel)
                await stub.RepositoryModelUnload(REQUESTS["RepositoryModelUnload"], metadata=metadata)
    assert await client.serves(FIRST)


async def test_grpc_refuses_a_stream_without_the_token(mlserver: Settings) -> None:
    async def silent() -> AsyncIterator[pb.ModelInferRequest]:
        """Send nothing: a message that is sent while the refusal comes may fail with a code of its own."""
        await asyncio.Event().wait()
        yield REQUESTS["ModelInfer"]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        call = GRPCInferenceServiceStub(channel).ModelStreamInfer(silent())
        with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
            await call.read()


async def test_a_refused_message_is_not_read(mlserver_process: tuple[Settings, subprocess.Popen[bytes]]) -> None:
    """A message may have 2 GiB: a caller without the token must not make MLServer keep one."""
    mlserver, process = mlserver_process
    memory = psutil.Process(process.pid).memory_info
    before = memory().rss
    large = pb.ModelInferRequest(model_name="letters-1", raw_input_contents=[bytes(200 * 2**20)])
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}", options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
            await GRPCInferenceServiceStub(channel).ModelInfer(large)
    assert memory().rss - before < 100 * 2**20


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_http_refuses_every_request_without_the_token(
    mlserver: Settings, client: InferenceClient, method: str, path: str
) -> None:
    for headers in WRONG_HEADERS:
        assert (await send_http(mlserver, method, path, headers)).status_code == 401
    assert await client.serves(FIRST)


async def test_http_refuses_the_repository_even_with_the_token(mlserver: Settings, client: InferenceClient) -> None:
    credentials = token.auth_headers(token.load_or_create(mlserver))
    for path in (path for _, path in ROUTES if "repository" in path):
        assert (await send_http(mlserver, "POST", path, credentials)).status_code == 403
    assert await client.serves(FIRST)


@pytest.mark.parametrize("path", sorted(PUBLIC_PATHS))
async def test_health_needs_no_token(mlserver: Settings, path: str) -> None:
    assert (await send_http(mlserver, "GET", path, {})).status_code == 200


async def test_a_client_with_another_token_gets_the_remedy(mlserver: Settings) -> None:
    wrong = mlserver.model_copy(update={"mlserver_token": SecretStr("wrong")})
    async with InferenceClient(wrong) as client:
        assert not await client.serves(FIRST)
        with pytest.raises(Unavailable, match="HINDSIGHT_MLSERVER_TOKEN"):
            await client.infer(FIRST, {"letters": np.ones((1, 2), np.uint8)})


def test_only_its_owner_can_read_the_token(mlserver: Settings) -> None:
    assert stat.S_IMODE(token.path_of(mlserver).stat().st_mode) == 0o600


def test_a_home_that_cannot_be_written_needs_a_token_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = platform_settings(tmp_path, home=tmp_path / "file" / "home")
    with pytest.raises(SetupError, match="HINDSIGHT_MLSERVER_TOKEN"):
        token.load_or_create(config)
    assert token.load_or_create(config.model_copy(update={"mlserver_token": SecretStr("s3cret")})) == "s3cret"
