"""The default settings, with every process of the Procfile whose program is on PATH: as a newcomer starts it."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.embedded import ports, prometheus, status
from app.settings import CHECKOUT, Settings

COMMAND = "from app.cli import entry; entry()"


def find_free_base() -> int:
    """Return a port base of which every port is free."""
    for base in random.sample(range(20_000, 31_000, 100), 110):
        if all(port.is_free for port in ports.required_ports(Settings(port_base=base))):
            return base
    raise AssertionError("no base has all its ports free")


def environment(home: Path, base: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HINDSIGHT_")}
    return inherited | {"HINDSIGHT_HOME": str(home), "HINDSIGHT_PORT_BASE": str(base)}


async def hindsight(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        env=environment(settings.home, settings.port_base),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(400)
async def test_every_process_starts_with_only_a_home_and_a_base_for_its_ports(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port_base=find_free_base())
    expected = {line.partition(":")[0] for line in (CHECKOUT / "Procfile").read_text().splitlines()}
    expected -= {name for name in prometheus.PROCESS_NAMES if prometheus.find_binary(name) is None}
    platform = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "up"),
        env=environment(settings.home, settings.port_base),
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
    )
    assert platform.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(240):
            while not lines or "Ready in" not in lines[-1]:
                lines.append((await platform.stderr.readline()).decode())
                assert lines[-1], f"the platform has ended: {''.join(lines)}"
            while not ((current := status.read_status(settings.home)) and current.processes and current.is_healthy):
                await asyncio.sleep(0.5)
        assert {process.name for process in current.processes} == expected
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{settings.port_base}") as http:
            assert (await http.get("/readyz")).json()["ready"] is True
        code, output = await hindsight(settings, "status", "--json")
        assert (code, json.loads(output)["well"]) == (0, True)
        code, output = await hindsight(settings, "doctor")
        assert code == 0, output
        assert output.rstrip().endswith("Nothing has failed.")
        pids = {process.name: process.pid for process in current.processes}
        assert f"held by our own preprocess, process {pids['preprocess']}" in output
    finally:
        platform.send_signal(signal.SIGINT)
        await platform.communicate()
    assert platform.returncode == 0
