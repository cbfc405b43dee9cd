import asyncio
import os
from pathlib import Path

import httpx
import pytest

from app.embedded.probes import LivenessProbe, clear_heartbeats
from app.monitoring.heartbeat import Heartbeat, heartbeat_path
from tests.support.platform import platform_settings


@pytest.mark.parametrize(
    ("status", "alive"), [("200 OK", True), ("401 Unauthorized", True), ("503 Service Unavailable", False)]
)
async def test_a_monitoring_program_is_alive_if_it_answers_or_asks_for_a_password(
    tmp_path: Path, status: str, alive: bool
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /-/healthy ")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    config = platform_settings(tmp_path)
    async with httpx.AsyncClient(trust_env=False) as http:
        probe = LivenessProbe(config, "alertmanager", http)
        assert not await probe.is_alive(1)  # nobody listens
        async with await asyncio.start_server(answer, "127.0.0.1", config.alertmanager_port):
            assert await probe.is_alive(1) is alive


async def test_a_heartbeat_counts_once_and_only_for_the_running_process(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    config.home.mkdir()
    heartbeat = Heartbeat(config.home)
    async with httpx.AsyncClient(trust_env=False) as http:
        probe = LivenessProbe(config, "worker", http)
        assert not await probe.is_alive(os.getpid())
        heartbeat.beat()
        assert await probe.is_alive(os.getpid())
        assert not await probe.is_alive(os.getpid())
        assert not await probe.is_alive(os.getpid() + 1)
        await asyncio.sleep(0.02)
        heartbeat.beat()
        assert await probe.is_alive(os.getpid())
    clear_heartbeats(config.home)
    assert not heartbeat_path(config.home, os.getpid()).exists()
