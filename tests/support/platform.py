"""A platform for a test: free ports, a temporary home, any processes of the Procfile."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.embedded import ports
from app.embedded.api_readiness import api_url
from app.embedded.supervisor import ProvisionTopics, Supervisor
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment

__all__ = ["platform_settings", "process_environment", "read_pids", "run_api", "run_processes", "wait_until_alive"]


def platform_settings(tmp_path: Path, **overrides: Any) -> Settings:
    """Return settings with a home in tmp_path and free ports."""
    free_ports = ports.free_ports(len(ports.PROCESS_BY_SETTING))
    values: dict[str, Any] = {"home": tmp_path / "home", "demo": False, "kafka_heap": "256m"}
    return Settings(**(values | dict(zip(ports.PROCESS_BY_SETTING, free_ports, strict=True)) | overrides))


def read_pids(config: Settings) -> dict[str, int]:
    """Return the process ids of the platform, as its supervisor wrote them."""
    pids: dict[str, int] = json.loads((config.home / "processes.json").read_text())
    return pids


@asynccontextmanager
async def run_processes(
    config: Settings,
    only: Collection[str] = ("kafka",),
    provision: ProvisionTopics | None = None,
    procfile: Path = CHECKOUT / "Procfile",
) -> AsyncIterator[Supervisor]:
    """Run these processes of the Procfile for as long as the block lasts."""
    supervisor = Supervisor(config, only=only, provision=provision, procfile=procfile)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


@contextmanager
def run_api(config: Settings, files: int = 1024) -> Iterator[subprocess.Popen[bytes]]:
    """Run the API alone, with at most `files` open files."""
    command = ["sh", "-c", f"ulimit -n {files}; exec {sys.executable} -m app.api"]
    process = subprocess.Popen(command, cwd=CHECKOUT, env=process_environment(config))
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def wait_until_alive(config: Settings, seconds: float = 60.0) -> None:
    """Wait until the API answers, whatever else is ready."""
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                assert (await http.get(f"{api_url(config)}/healthz")).json() == {"status": "alive"}
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the API does not answer"
                await asyncio.sleep(0.1)
            else:
                return
