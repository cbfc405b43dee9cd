"""The process of a run: start, progress, restart after a crash, and end."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.events.lifecycle import RetrainingTriggered
from app.registry.runs import Run
from app.retraining.backends import local
from app.retraining.backends.backend import RunCrashed
from app.retraining.backends.local import MAX_CRASHES, LocalBackend
from app.retraining.pipeline.run_directory import run_directory
from app.settings import Settings
from tests.support.record_strategies import START

WAITS = "import time\ntime.sleep(60)"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"
NOTES = "import os, pathlib\nwith pathlib.Path('started').open('a') as file: file.write(f'{os.getpid()}\\n')"
"""Appends its process id to a file at each start."""
READY = 'print(\'{"step": "train"}\', flush=True)'

Steps = Callable[..., None]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Return a function that writes the code of `python -m app.retraining`, after the note of its start."""
    package = tmp_path / "app" / "retraining"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    monkeypatch.setattr(local, "CHECKOUT", tmp_path)
    monkeypatch.setattr(local, "_BACKOFF_SECONDS", 0.0)

    def write(*lines: str) -> None:
        (package / "__main__.py").write_text("\n".join((NOTES, *lines)))

    return write


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[LocalBackend]:
    found = LocalBackend(Settings(home=tmp_path / "home"))
    yield found
    await found.close()


def make_run(unique: str = "r") -> Run:
    said = RetrainingTriggered(task="scales", run_id=unique, trigger="manual", evidence={}, champion="1")
    return Run(unique, said, START)


def started_pids(directory: Path) -> list[int]:
    """Return the ids of the started processes."""
    path = directory / "started"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def wait_until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not found():
            await asyncio.sleep(0.01)


async def ensure_until(backend: LocalBackend, found: Callable[[], bool]) -> None:
    """Ensure repeatedly that the run is running, as the controller does."""
    async with asyncio.timeout(60):
        while not found():
            await backend.ensure_running(make_run())
            await asyncio.sleep(0.01)


async def test_the_process_of_a_run_is_started_once_and_lives_until_the_run_is_stopped(
    backend: LocalBackend, steps: Steps, tmp_path: Path
) -> None:
    steps("import sys, json", "print(json.dumps({'argv': sys.argv[1:]}), flush=True)", WAITS)
    for _ in range(3):
        await backend.ensure_running(make_run())
    await wait_until(lambda: "r" in backend.progress)
    await backend.ensure_running(make_run())
    [pid] = started_pids(tmp_path)
    assert is_alive(pid)
    assert backend.progress["r"] == {"argv": ["scales", "r"]}


async def test_progress_is_the_last_json_line_that_the_process_prints(backend: LocalBackend, steps: Steps) -> None:
    steps(
        """print('{"done": 1}')""",
        """print('{"done": 2}', flush=True)""",
        "print('loading...')",
        "print('[1, 2]')",
        "print('7')",
        "print('{', flush=True)",
        """print('{"done": 3, "of": 3}', flush=True)""",
        "print('bye', flush=True)",
        WAITS,
    )
    await backend.ensure_running(make_run())
    await wait_until(lambda: backend.progress.get("r", {}).get("done") == 3)
    assert backend.progress["r"] == {"done": 3, "of": 3}


async def test_stderr_of_the_process_is_in_the_runs_log(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps("raise ValueError('there is no such tensor')")
    with pytest.raises(RunCrashed):
        await ensure_until(backend, lambda: False)
    assert "there is no such tensor" in (run_directory(Settings(home=tmp_path / "home"), "r") / "log.txt").read_text()


async def test_a_crashed_process_is_restarted(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps("if len(open('started').readlines()) < 3: raise SystemExit(1)", READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    assert len(started_pids(tmp_path)) == 3


async def test_a_killed_process_is_a_crash(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps("if len(open('started').readlines()) < 2: os.kill(os.getpid(), 9)", READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    assert len(started_pids(tmp_path)) == 2


async def test_repeated_crashes_of_a_process_crash_the_run_with_the_path_of_its_log(
    backend: LocalBackend, steps: Steps, tmp_path: Path
) -> None:
    steps("raise SystemExit(1)")
    with pytest.raises(RunCrashed, match=f"{MAX_CRASHES} times: see .*/runs/r/log.txt"):
        await ensure_until(backend, lambda: False)
    assert len(started_pids(tmp_path)) == MAX_CRASHES


async def test_a_crashed_process_is_restarted_after_a_pause(
    backend: LocalBackend, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_BACKOFF_SECONDS", 3600.0)
    steps("raise SystemExit(1)")
    await backend.ensure_running(make_run())
    await wait_until(lambda: len(started_pids(tmp_path)) == 1 and not is_alive(started_pids(tmp_path)[0]))
    for _ in range(3):
        await backend.ensure_running(make_run())
        await asyncio.sleep(0.01)
    assert len(started_pids(tmp_path)) == 1


async def test_a_process_that_exits_with_0_is_not_a_crash(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    """It may exit before its last event is read here; the next process finds nothing to do."""
    steps("raise SystemExit(0)")
    await ensure_until(backend, lambda: len(started_pids(tmp_path)) > MAX_CRASHES + 1)


async def test_stopping_a_run_ends_its_process(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps(READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    await backend.stop("r")
    assert not is_alive(started_pids(tmp_path)[0])


async def test_a_process_that_ignores_sigterm_is_killed(
    backend: LocalBackend, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STOP_SECONDS", 0.1)
    steps(STUBBORN, READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    await backend.stop("r")
    assert not is_alive(started_pids(tmp_path)[0])


async def test_a_stopped_run_is_not_a_crash(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    """The lease may come back, and the run with it."""
    steps(READY, WAITS)
    for number in range(1, MAX_CRASHES + 2):
        await ensure_until(backend, lambda: len(started_pids(tmp_path)) == number)  # noqa: B023
        await backend.stop("r")


async def test_detaching_a_run_ends_its_process(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps(READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    await backend.detach("r")
    assert not is_alive(started_pids(tmp_path)[0])


async def test_closing_the_backend_ends_all_processes(backend: LocalBackend, steps: Steps, tmp_path: Path) -> None:
    steps(READY, WAITS)
    for unique in ("r", "s"):
        await backend.ensure_running(make_run(unique))
        await wait_until(lambda: unique in backend.progress)  # noqa: B023
    assert backend.run_ids == {"r", "s"}
    await backend.close()
    assert not any(is_alive(pid) for pid in started_pids(tmp_path))


async def test_a_stopped_run_is_forgotten(backend: LocalBackend, steps: Steps) -> None:
    steps(READY, WAITS)
    await ensure_until(backend, lambda: "r" in backend.progress)
    await backend.stop("r")
    assert (backend.progress, backend.run_ids) == ({}, set())


async def test_stopping_an_unknown_run_does_nothing(backend: LocalBackend) -> None:
    await backend.stop("unknown")
