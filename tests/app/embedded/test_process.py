import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from app.embedded import orphans, process
from app.embedded.console import ConsolePrinter
from app.embedded.process import SupervisedProcess, describe_exit_code
from tests.support.platform import platform_settings

Make = Callable[[str], SupervisedProcess]


@pytest.fixture
def heard() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make(tmp_path: Path, heard: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(process, "MIN_RESTART_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(process, "MAX_RESTART_DELAY_SECONDS", 0.1)
    config = platform_settings(tmp_path)
    voice = ConsolePrinter("dummy", 1, Console(file=heard, width=200))
    return lambda code: SupervisedProcess("dummy", f'{sys.executable} -c "{code}"', config, voice, lambda: None)


async def until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it has not happened in time"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_one_that_dies_is_started_again_and_again(make: Make, heard: io.StringIO) -> None:
    dummy = make("print('about to fail'); raise SystemExit(3)")
    dummy.start()
    await until(lambda: dummy.restarts >= 3)
    await dummy.stop(5)
    said = heard.getvalue()
    assert "ended with exit code 3; starting it again in 0.05 s. It said last:" in said
    assert "starting it again in 0.1 s" in said
    assert "about to fail" in said


async def test_one_that_is_killed_is_started_again(make: Make, heard: io.StringIO) -> None:
    dummy = make("import time; time.sleep(60)")
    dummy.start()
    await until(lambda: dummy.pid)
    first = dummy.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: dummy.pid not in {None, first})
    await dummy.stop(5)
    assert "was ended by SIGKILL" in heard.getvalue()
    assert dummy.pid is None


async def test_one_that_ignores_the_end_is_killed(make: Make, heard: io.StringIO) -> None:
    dummy = make("import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    dummy.start()
    await until(lambda: "deaf" in dummy.log.tail)
    await dummy.stop(0.3)
    assert "has not ended within 0.3 s" in heard.getvalue()


async def test_its_children_end_with_it_even_in_a_session_of_their_own(make: Make) -> None:
    child = "import subprocess as s; print(s.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)"
    dummy = make(f"{child}; import time; time.sleep(60)")
    dummy.start()
    await until(lambda: dummy.log.tail)
    first = int(dummy.log.tail[0])
    assert is_alive(first)
    assert dummy.pid is not None
    os.kill(dummy.pid, signal.SIGKILL)
    await until(lambda: dummy.restarts and dummy.log.tail)
    assert not is_alive(first)
    second = int(dummy.log.tail[0])
    await dummy.stop(5)
    assert not is_alive(second)


async def test_a_machine_out_of_processes_is_tried_again(
    make: Make, heard: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "create_subprocess_exec", refuse)
        dummy = make("import time; time.sleep(60)")
        dummy.start()
        await until(lambda: dummy.restarts)
    await until(lambda: dummy.pid)
    await dummy.stop(5)
    assert "It could not be started: [Errno 11] Resource temporarily unavailable" in heard.getvalue()


async def test_stopping_one_that_waits_to_be_started_again(make: Make) -> None:
    dummy = make("raise SystemExit(1)")
    dummy.start()
    await until(lambda: dummy.started_at and dummy.pid is None)
    await dummy.stop(5)
    assert not orphans.find_processes(dummy._home)


async def test_a_command_that_does_not_exist(make: Make, heard: io.StringIO) -> None:
    dummy = make("pass")
    dummy.command = "no-such-command --at-all"
    dummy.start()
    await until(lambda: dummy.restarts)
    await dummy.stop(5)
    assert "error: no-such-command cannot be run: No such file or directory" in heard.getvalue()


async def test_its_environment_names_the_settings(make: Make) -> None:
    dummy = make("import os, time; print(os.environ['HINDSIGHT_HOME'], flush=True); time.sleep(60)")
    dummy.start()
    await until(lambda: dummy.log.tail)
    await dummy.stop(5)
    assert dummy.log.tail[0] == str(dummy._home)


@pytest.mark.parametrize(("code", "words"), [(0, "ended with exit code 0"), (-15, "was ended by SIGTERM")])
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert describe_exit_code(code) == words
