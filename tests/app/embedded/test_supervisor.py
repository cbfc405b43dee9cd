"""The supervisor with dummy processes: no broker, so each test is short. With the real one: test_kafka.py."""

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
from tests.support.platform import platform_settings, process_environment, read_pids

PROCFILE = """\
one: python -c "import time; time.sleep(600)"
two: python -c "import subprocess; subprocess.run(['sleep', '600'], start_new_session=True)"
"""
RUN = """
import asyncio, sys
from pathlib import Path
from app.embedded import kafka
from app.embedded.supervisor import Supervisor
from app.settings import settings

async def yes(*_): return True
async def nothing(*_): return []

kafka.wait = yes
asyncio.run(Supervisor(settings(), procfile=Path(sys.argv[1]), provision=nothing).run_until_signal())
"""


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    path = tmp_path / "Procfile"
    path.write_text(PROCFILE)
    return path


@pytest.fixture
def watched(procfile: Path) -> Path:
    with procfile.open("a") as file:
        file.write("prometheus: python -m app.embedded.prometheus prometheus\n")
    return procfile


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return platform_settings(tmp_path)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was waited for and made, instead of a broker and its topics."""
    done: list[str] = []

    async def wait(*_: object) -> bool:
        done.append("broker")
        return True

    monkeypatch.setattr(broker, "wait", wait)
    return done


def recording(order: list[str]) -> Callable[[Settings], Awaitable[list[str]]]:
    async def provision(_: Settings) -> list[str]:
        order.append("topics")
        return []

    return provision


def command_lines(home: Path) -> list[str]:
    """The processes, of any user, that have this home in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HINDSIGHT_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def gone(home: Path, seconds: float = 60.0) -> list[str]:
    """What still runs after so long, at most."""
    deadline = time.monotonic() + seconds
    while (left := command_lines(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


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
    async with started(Supervisor(config, procfile=procfile, provision=recording(order))) as supervisor:
        assert order == ["broker", "topics"]
        await up(config)
        assert read_pids(config) == {name: process.pid for name, process in supervisor.processes.items()}
    await supervisor.stop()  # again
    assert read_pids(config) == {}
    assert gone(config.home, 0) == []


async def test_only_some_of_them(config: Settings, procfile: Path, order: list[str]) -> None:
    supervisor = Supervisor(config, procfile=procfile, only=["two"], provision=recording(order))
    async with started(supervisor):
        assert list(supervisor.processes) == ["two"]
    with pytest.raises(SetupError, match="names no three"):
        await Supervisor(config, procfile=procfile, only=["three"]).start()


async def test_what_only_watches_and_is_not_there_is_left_out_with_a_word(
    config: Settings, watched: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    said = StringIO()
    supervisor = Supervisor(config, procfile=watched, provision=recording(order), console=Console(file=said))
    async with started(supervisor):
        assert list(supervisor.processes) == ["one", "two"]
    assert "Without prometheus: it is not on PATH." in said.getvalue()


async def test_one_home_has_one_supervisor(config: Settings, procfile: Path, order: list[str]) -> None:
    async with started(Supervisor(config, procfile=procfile, provision=recording(order))) as first:
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
    assert gone(config.home, 0) == []


async def test_a_broker_that_does_not_answer(config: Settings, procfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def launch(config: Settings, procfile: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(procfile)],
        env=process_environment(config),
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
    )


async def up(config: Settings) -> dict[str, int]:
    while True:
        try:
            if len(found := read_pids(config)) == 2:
                return found
        except (OSError, json.JSONDecodeError):
            pass
        await asyncio.sleep(0.05)


async def test_a_killed_supervisor_leaves_nothing_running(config: Settings, procfile: Path) -> None:
    with launch(config, procfile) as supervisor:
        async with asyncio.timeout(60):
            await up(config)
        supervisor.send_signal(signal.SIGKILL)
        await asyncio.to_thread(supervisor.communicate)
    assert gone(config.home) == []
    assert lock.holder_pid(config.home) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_everything_however_often_it_comes(
    config: Settings, procfile: Path, number: signal.Signals
) -> None:
    with launch(config, procfile) as supervisor:
        async with asyncio.timeout(60):
            await up(config)
        supervisor.send_signal(number)
        await asyncio.sleep(0.05)
        supervisor.send_signal(number)
        _, said = await asyncio.to_thread(supervisor.communicate)
    assert supervisor.returncode == 0
    assert "Traceback" not in said
    assert "Stopped." in said
    assert gone(config.home, 0) == []


def sleeper(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], env=os.environ | environment)


async def test_what_a_dead_platform_left_is_ended_first(config: Settings, procfile: Path, order: list[str]) -> None:
    config.home.mkdir()
    (config.home / "platform.lock").write_text(json.dumps({"pid": 1, "started": "long ago"}))
    left = sleeper(HINDSIGHT_HOME=str(config.home), HINDSIGHT_PROCESS="1/one")
    bystander = sleeper(HINDSIGHT_HOME=str(config.home))
    async with started(Supervisor(config, procfile=procfile, only=["one"], provision=recording(order))):
        assert left.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None
    bystander.kill()
    bystander.wait(5)
