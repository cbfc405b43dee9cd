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

ProcessFactory = Callable[[str], SupervisedProcess]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make_process(tmp_path: Path, output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> ProcessFactory:
    monkeypatch.setattr(process, "MIN_RESTART_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(process, "MAX_RESTART_DELAY_SECONDS", 0.1)
    config = platform_settings(tmp_path)
    printer = ConsolePrinter("dummy", 1, Console(file=output, width=200))
    return lambda code: SupervisedProcess("dummy", f'{sys.executable} -c "{code}"', config, printer, lambda: None)


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_process_that_ends_is_restarted_every_time(make_process: ProcessFactory, output: io.StringIO) -> None:
    dummy = make_process("print('about to fail'); raise SystemExit(3)")
    dummy.start()
    await until(lambda: dummy.restarts >= 3)
    await dummy.stop(5)
    text = output.getvalue()
    assert "ended with exit code 3; restarting it in 0.05 s. Last output:" in text
    assert "restarting it in 0.1 s" in text
    assert "about to fail" in text


async def test_a_process_that_is_killed_is_restarted(make_process: ProcessFactory, output: io.StringIO) -> None:
    dummy = make_process("import time; time.sleep(60)")
    dummy.start()
    await until(lambda: dummy.pid)
    first = dummy.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: dummy.pid not in {None, first})
    await dummy.stop(5)
    assert "was ended by SIGKILL" in output.getvalue()
    assert dummy.pid is None


async def test_a_process_that_ignores_sigterm_is_killed(make_process: ProcessFactory, output: io.StringIO) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    dummy = make_process(code)
    dummy.start()
    await until(lambda: "deaf" in dummy.log.tail)
    await dummy.stop(0.3)
    assert "has not ended within 0.3 s" in output.getvalue()


async def test_the_children_of_a_process_end_with_it_even_in_their_own_session(make_process: ProcessFactory) -> None:
    child = "import subprocess as s; print(s.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)"
    dummy = make_process(f"{child}; import time; time.sleep(60)")
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


async def test_a_start_is_retried_on_a_machine_without_free_processes(
    make_process: ProcessFactory, output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "create_subprocess_exec", refuse)
        dummy = make_process("import time; time.sleep(60)")
        dummy.start()
        await until(lambda: dummy.restarts)
    await until(lambda: dummy.pid)
    await dummy.stop(5)
    assert "It could not be started: [Errno 11] Resource temporarily unavailable" in output.getvalue()


async def test_a_process_that_waits_for_its_restart_can_be_stopped(make_process: ProcessFactory) -> None:
    dummy = make_process("raise SystemExit(1)")
    dummy.start()
    await until(lambda: dummy.started_at and dummy.pid is None)
    await dummy.stop(5)
    assert not orphans.find_processes(dummy._home)


async def test_a_command_that_does_not_exist_is_reported(make_process: ProcessFactory, output: io.StringIO) -> None:
    dummy = make_process("pass")
    dummy.command = "no-such-command --at-all"
    dummy.start()
    await until(lambda: dummy.restarts)
    await dummy.stop(5)
    assert "error: no-such-command cannot be run: No such file or directory" in output.getvalue()


async def test_the_environment_of_a_process_contains_the_settings(make_process: ProcessFactory) -> None:
    dummy = make_process("import os, time; print(os.environ['HINDSIGHT_HOME'], flush=True); time.sleep(60)")
    dummy.start()
    await until(lambda: dummy.log.tail)
    await dummy.stop(5)
    assert dummy.log.tail[0] == str(dummy._home)


@pytest.mark.parametrize(("code", "words"), [(0, "ended with exit code 0"), (-15, "was ended by SIGTERM")])
def test_exit_codes_and_signals_are_described(code: int, words: str) -> None:
    assert describe_exit_code(code) == words
