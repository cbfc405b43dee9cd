"""The supervisor with dummy processes and no broker, so that each test is short. With the broker: test_broker.py."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from app.embedded import broker, lock
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.settings import CHECKOUT, Settings
from tests.support.packaged_task import entry, write_task, write_version
from tests.support.platform import platform_settings, process_environment, read_pids

PROCFILE = """\
one: python -c "import time; time.sleep(600)"
two: python -c "import subprocess; subprocess.run(['sleep', '600'], start_new_session=True)"
"""
RUN_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from app.embedded import broker
from app.embedded.supervisor import Supervisor
from app.settings import settings

async def wait(*_): return True
async def provision(*_): return []

broker.wait = wait
asyncio.run(Supervisor(settings(), procfile=Path(sys.argv[1]), provision=provision).run_until_signal())
"""


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    path = tmp_path / "Procfile"
    path.write_text(PROCFILE)
    return path


@pytest.fixture
def procfile_with_prometheus(procfile: Path) -> Path:
    with procfile.open("a") as file:
        file.write("prometheus: python -m app.embedded.prometheus prometheus\n")
    return procfile


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return platform_settings(tmp_path)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of a start in their order, without a broker and topics."""
    steps: list[str] = []

    async def wait(*_: object) -> bool:
        steps.append("broker")
        return True

    monkeypatch.setattr(broker, "wait", wait)
    return steps


def recording_provision(order: list[str]) -> Callable[[Settings], Awaitable[list[str]]]:
    async def provision(_: Settings) -> list[str]:
        order.append("topics")
        return []

    return provision


def command_lines(home: Path) -> list[str]:
    """Return the command lines of the processes, of any user, with this home in their environment."""
    lines = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HINDSIGHT_HOME") == str(home):
                lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return lines


def surviving(home: Path, seconds: float = 60.0) -> list[str]:
    """Return the command lines of the processes that still run after so long."""
    deadline = time.monotonic() + seconds
    while (lines := command_lines(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines


@asynccontextmanager
async def started(supervisor: Supervisor) -> AsyncIterator[Supervisor]:
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def test_processes_start_after_the_broker_and_the_topics(
    config: Settings, procfile: Path, order: list[str]
) -> None:
    async with started(Supervisor(config, procfile=procfile, provision=recording_provision(order))) as supervisor:
        assert order == ["broker", "topics"]
        await running_pids(config)
        assert read_pids(config) == {name: process.pid for name, process in supervisor.processes.items()}
    await supervisor.stop()  # again
    assert read_pids(config) == {}
    assert surviving(config.home, 0) == []


async def test_a_supervisor_runs_only_the_chosen_processes(config: Settings, procfile: Path, order: list[str]) -> None:
    supervisor = Supervisor(config, procfile=procfile, only=["two"], provision=recording_provision(order))
    async with started(supervisor):
        assert list(supervisor.processes) == ["two"]
    with pytest.raises(SetupError, match="does not define three"):
        await Supervisor(config, procfile=procfile, only=["three"]).start()


async def test_a_monitoring_program_that_is_missing_is_left_out_with_a_note(
    config: Settings, procfile_with_prometheus: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    output = StringIO()
    supervisor = Supervisor(
        config, procfile=procfile_with_prometheus, provision=recording_provision(order), console=Console(file=output)
    )
    async with started(supervisor):
        assert list(supervisor.processes) == ["one", "two"]
    assert "Without prometheus: it is not on PATH." in output.getvalue()


async def test_one_home_has_one_supervisor(config: Settings, procfile: Path, order: list[str]) -> None:
    async with started(Supervisor(config, procfile=procfile, provision=recording_provision(order))) as first:
        with pytest.raises(SetupError, match=f"already runs in {config.home}: process {os.getpid()}"):
            await Supervisor(config, procfile=procfile).start()
        assert lock.holder_pid(config.home) == os.getpid()
        assert len(first.processes) == 2


async def test_a_start_that_fails_leaves_nothing(config: Settings, procfile: Path, order: list[str]) -> None:
    async def fail(_: Settings) -> list[str]:
        raise SetupError("No topics.", "None.")

    with pytest.raises(SetupError, match="No topics"):
        await Supervisor(config, procfile=procfile, provision=fail).start()
    assert lock.holder_pid(config.home) is None
    assert surviving(config.home, 0) == []


async def test_a_broker_that_does_not_answer_is_an_error(
    config: Settings, procfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(broker, "wait", never)
    config = config.model_copy(update={"kafka_bootstrap": "kafka.example:9092"})
    with pytest.raises(SetupError, match=r"No Kafka broker answers at kafka\.example:9092") as caught:
        await Supervisor(config, procfile=procfile).start()
    assert "HINDSIGHT_KAFKA_BOOTSTRAP" in caught.value.remedy


async def test_nothing_starts_without_its_blob_storage(config: Settings, procfile: Path, order: list[str]) -> None:
    (config.home.parent / "a file").touch()
    config = config.model_copy(update={"blob_url": (config.home.parent / "a file").as_uri()})
    with pytest.raises(SetupError, match=r"The blob storage file://.* can't be used"):
        await Supervisor(config, procfile=procfile).start()
    assert order == []
    assert lock.holder_pid(config.home) is None


async def test_nothing_starts_without_weights(
    config: Settings, procfile: Path, order: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = {"a.bin": entry(b"weights", "pypi reader==1.0", "a.bin")}
    tasks = {"heavy": write_task(tmp_path, "heavy")}
    write_version(tmp_path / "heavy" / "versions" / "1", files)
    config = config.model_copy(update={"cache": tmp_path / "cache", "offline": True, "tasks": tasks})
    with procfile.open("a") as file:
        file.write("mlserver: sleep 600\n")
    with pytest.raises(SetupError, match="HINDSIGHT_OFFLINE"):
        await Supervisor(config, procfile=procfile).start()
    assert order == []
    assert lock.holder_pid(config.home) is None


def launch(config: Settings, procfile: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN_SUPERVISOR, str(procfile)],
        env=process_environment(config),
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
    )


async def running_pids(config: Settings) -> dict[str, int]:
    while True:
        try:
            if len(pids := read_pids(config)) == 2:
                return pids
        except (OSError, json.JSONDecodeError):
            pass
        await asyncio.sleep(0.05)


async def test_a_killed_supervisor_leaves_nothing_running(config: Settings, procfile: Path) -> None:
    with launch(config, procfile) as supervisor:
        async with asyncio.timeout(60):
            await running_pids(config)
        supervisor.send_signal(signal.SIGKILL)
        await asyncio.to_thread(supervisor.communicate)
    assert surviving(config.home) == []
    assert lock.holder_pid(config.home) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything_however_often_it_comes(
    config: Settings, procfile: Path, number: signal.Signals
) -> None:
    with launch(config, procfile) as supervisor:
        async with asyncio.timeout(60):
            await running_pids(config)
        supervisor.send_signal(number)
        await asyncio.sleep(0.05)
        supervisor.send_signal(number)
        _, output = await asyncio.to_thread(supervisor.communicate)
    assert supervisor.returncode == 0
    assert "Traceback" not in output
    assert "Stopped." in output
    assert surviving(config.home, 0) == []


def start_sleep(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], env=os.environ | environment)


async def test_processes_that_a_dead_platform_left_are_killed_first(
    config: Settings, procfile: Path, order: list[str]
) -> None:
    config.home.mkdir()
    (config.home / "platform.lock").write_text(json.dumps({"pid": 1, "started": "long ago"}))
    orphan = start_sleep(HINDSIGHT_HOME=str(config.home), HINDSIGHT_PROCESS="1/one")
    bystander = start_sleep(HINDSIGHT_HOME=str(config.home))
    async with started(Supervisor(config, procfile=procfile, only=["one"], provision=recording_provision(order))):
        assert orphan.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None
    bystander.kill()
    bystander.wait(5)
