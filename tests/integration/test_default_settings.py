"""The real default settings, every process of the Procfile, whatever is on PATH: as a newcomer starts it."""

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


def free_base() -> int:
    """A base of which every port is free."""
    for base in random.sample(range(20_000, 31_000, 100), 110):
        if all(port.is_free for port in ports.required_ports(Settings(port_base=base))):
            return base
    raise AssertionError("no base has all its ports free")


def environment(home: Path, base: int) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("HINDSIGHT_")}
    return others | {"HINDSIGHT_HOME": str(home), "HINDSIGHT_PORT_BASE": str(base)}


async def hindsight(settings: Settings, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        env=environment(settings.home, settings.port_base),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.timeout(400)
async def test_every_process_starts_with_only_a_home_and_a_base_for_its_ports(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port_base=free_base())
    wanted = {line.partition(":")[0] for line in (CHECKOUT / "Procfile").read_text().splitlines()}
    wanted -= {name for name in prometheus.PROCESS_NAMES if prometheus.find_binary(name) is None}
    platform = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "up"),
        env=environment(settings.home, settings.port_base),
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
    )
    assert platform.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(240):
            while not said or "Ready in" not in said[-1]:
                said.append((await platform.stderr.readline()).decode())
                assert said[-1], f"it has ended: {''.join(said)}"
            while not ((found := status.read_status(settings.home)) and found.processes and found.is_healthy):
                await asyncio.sleep(0.5)
        assert {one.name for one in found.processes} == wanted
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{settings.port_base}") as http:
            assert (await http.get("/readyz")).json()["ready"] is True
        code, said_by_status = await hindsight(settings, "status", "--json")
        assert (code, json.loads(said_by_status)["well"]) == (0, True)
        code, said_by_doctor = await hindsight(settings, "doctor")
        assert code == 0, said_by_doctor
        assert said_by_doctor.rstrip().endswith("Nothing has failed.")
        ours = {one.name: one.pid for one in found.processes}
        assert f"held by our own preprocess, process {ours['preprocess']}" in said_by_doctor
    finally:
        platform.send_signal(signal.SIGINT)
        await platform.communicate()
    assert platform.returncode == 0
