"""Messages that no page of ours sends have no effect, and leave no traceback in the log."""

import asyncio
import json

import pytest
import websockets
from websockets.typing import Origin

from app.embedded.api_readiness import api_url
from app.settings import Settings

MESSAGES = [
    ["event", {}],
    ["event", {"client_id": "x"}],
    ["event"],
    ["handshake", {}],
    ["handshake", ["client_id"]],
    ["ack", "text"],
    ["log", {"client_id": 1}],
    ["javascript_response", None],
    ["nothing", {}],
]
QUERIES = ["", "&implicit_handshake=true", "&implicit_handshake=true&client_id=x", "&client_id=x"]


@pytest.mark.parametrize("query", QUERIES)
async def test_invalid_websocket_messages_cause_no_traceback(platform: Settings, query: str) -> None:
    log = platform.home / "logs" / "api.log"
    size_before = log.stat().st_size
    url = f"{api_url(platform)}/_nicegui_ws/socket.io/?EIO=4&transport=websocket{query}".replace("http", "ws", 1)
    async with websockets.connect(url, origin=Origin(api_url(platform)), proxy=None) as socket, asyncio.timeout(20):
        assert (await socket.recv())[:1] == "0"
        await socket.send("40")
        await socket.recv()
        for message in MESSAGES:
            await socket.send("42" + json.dumps(message))
        await socket.close()
    await asyncio.sleep(0.5)
    assert b"Traceback" not in log.read_bytes()[size_before:]
