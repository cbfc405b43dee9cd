import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.embedded import api_readiness
from app.errors import SetupError
from app.settings import Settings
from tests.support.platform import platform_settings


@asynccontextmanager
async def serve_readiness(config: Settings, *bodies: dict[str, Any]) -> AsyncIterator[None]:
    """Answer each request with the next of the bodies, further ones with the last."""
    remaining = list(bodies)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        content = json.dumps(body).encode()
        status = b"200 OK" if body["ready"] else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(content)))
        writer.write(content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, config.host, config.api_port)
    async with server:
        yield


def readiness_body(**parts: bool) -> dict[str, Any]:
    details = {name: {"ready": ready, "detail": "ready" if ready else "starting"} for name, ready in parts.items()}
    return {"ready": all(parts.values()), "parts": details}


async def test_the_wait_ends_once_every_part_is_ready(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    async with serve_readiness(
        config, readiness_body(kafka=True, worker=False), readiness_body(kafka=True, worker=True)
    ):
        await api_readiness.wait_until_ready(config, 10)


async def test_the_error_of_a_wait_names_the_part_that_is_not_ready(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    async with serve_readiness(config, readiness_body(kafka=True, worker=False)):
        with pytest.raises(SetupError, match=r"Not ready after 0 s\. worker: starting$|worker: starting"):
            await api_readiness.wait_until_ready(config, 0.3)


async def test_an_api_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    ready, parts = await api_readiness.probe_readiness(platform_settings(tmp_path))
    assert not ready
    assert "readyz" in parts["api"].detail


def test_a_server_bound_to_all_addresses_is_reached_over_loopback(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, host="0.0.0.0", api_port=1234)
    assert api_readiness.api_url(config) == "http://127.0.0.1:1234"
