"""Clients that are slow or silent don't block others."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.api import connection_limits
from app.api.connection_limits import BoundedProtocol
from app.embedded.api_readiness import api_url
from tests.support.platform import platform_settings, run_api, wait_until_alive

HALF_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
GET = HALF_REQUEST + b"\r\n"
POST = b"POST /readable HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"


async def body_size_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body in bytes."""
    size, more = 0, scope["type"] == "http"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": f"{size:06d}".encode()})


@asynccontextmanager
async def serve() -> AsyncIterator[int]:
    """Run a server in this process; yield its port."""
    config = uvicorn.Config(body_size_app, port=0, http=BoundedProtocol, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


class Connection:
    """A client's connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read_all(self) -> bytes:
        """Return what the server sends until it closes."""
        try:
            return await self.reader.read(-1)
        except ConnectionResetError:
            return b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def connect(port: int, data: bytes = b"") -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        connection = Connection(reader, writer)
        await connection.send(data)
        yield connection
    finally:
        writer.transport.abort()


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 0.2 seconds."""
    monkeypatch.setattr(connection_limits, "WINDOW_SECONDS", 0.2)


@pytest.mark.parametrize("data", [b"", b"GET", HALF_REQUEST, POST, POST + b"slow"])
async def test_the_connection_of_an_incomplete_request_is_closed(short_windows: None, data: bytes) -> None:
    async with serve() as port, connect(port, data) as connection, asyncio.timeout(20):
        assert await connection.read_all() == b""


async def test_the_connection_of_an_incomplete_second_request_is_closed(short_windows: None) -> None:
    async with serve() as port, connect(port, GET) as connection, asyncio.timeout(20):
        await connection.reader.readuntil(b"000000")
        await connection.send(HALF_REQUEST)
        assert await connection.read_all() == b""


async def test_the_connection_of_slow_headers_is_closed(short_windows: None) -> None:
    async with serve() as port, connect(port, HALF_REQUEST) as connection, asyncio.timeout(20):
        with pytest.raises(ConnectionError):
            while True:
                await connection.send(b"a: b\r\n")
                await asyncio.sleep(0.01)


async def test_endless_headers_are_refused() -> None:
    async with serve() as port, connect(port, HALF_REQUEST) as connection, asyncio.timeout(20):
        with pytest.raises(ConnectionError):
            for _ in range(100_000):
                await connection.send(b"a: " + b"b" * 1000 + b"\r\n")
                await asyncio.sleep(0)


async def test_a_body_that_keeps_its_rate_is_accepted_however_long_it_takes(short_windows: None) -> None:
    async with serve() as port, connect(port, POST) as connection, asyncio.timeout(60):
        for _ in range(20):
            await connection.send(b"x" * 5000)
            await asyncio.sleep(0.05)
        assert b"100000" in await connection.reader.readuntil(b"100000")


async def test_beyond_the_limit_the_oldest_connection_without_a_complete_request_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "MAX_CONNECTIONS", 2)
    async with serve() as port, connect(port, HALF_REQUEST) as first, connect(port, HALF_REQUEST) as second:
        await asyncio.sleep(0.1)
        async with connect(port, GET) as third, asyncio.timeout(20):
            assert await first.read_all() == b""
            assert b"200 OK" in await third.reader.readuntil(b"000000")
            await second.send(b"\r\n")
            assert b"200 OK" in await second.reader.readuntil(b"000000")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open a file for each client."""
    previous = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, previous[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, previous)


async def test_health_answers_while_900_clients_send_half_a_request(tmp_path: Path, many_files: None) -> None:
    config = platform_settings(tmp_path, tasks={"ocr": "models.small.ocr:Ocr"})
    with run_api(config, files=800):
        await wait_until_alive(config)
        async with AsyncExitStack() as clients, httpx.AsyncClient(trust_env=False, timeout=20) as http:
            for _ in range(900):
                await clients.enter_async_context(connect(config.api_port, HALF_REQUEST))
            for _ in range(3):
                assert (await http.get(f"{api_url(config)}/healthz")).json() == {"status": "alive"}
