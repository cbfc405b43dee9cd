"""Fakes of the platform's processes, as the readiness check sees them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager

from app.settings import Settings

READY = "# TYPE hindsight_ready gauge\nhindsight_ready 1.0\n"
STARTING = "# TYPE hindsight_ready gauge\nhindsight_ready 0.0\n"


@asynccontextmanager
async def http_server(
    port: int, body: str = "", status: str = "200 OK", only: Collection[str] | None = None
) -> AsyncIterator[None]:
    """Answer every request; with 404 if its path is not in `only`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        line = status if only is None or path in only else "404 Not Found"
        writer.write(f"HTTP/1.1 {line}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


@asynccontextmanager
async def fake_processes(
    config: Settings, mlserver: str = "200 OK", served: Collection[str] | None = None, **metrics: str
) -> AsyncIterator[None]:
    """Fake all processes beside Kafka, ready by default.

    `mlserver` is MLServer's status, `served` its paths, and `metrics` are other processes' metrics by their names.
    """
    async with AsyncExitStack() as stack:
        for name in ("preprocess", "worker", "archive", "recorder"):
            port = getattr(config, f"{name}_metrics_port")
            await stack.enter_async_context(http_server(port, metrics.get(name, READY)))
        await stack.enter_async_context(http_server(config.mlserver_http_port, status=mlserver, only=served))
        yield
