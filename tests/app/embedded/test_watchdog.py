"""The watchdog over fake processes, real ones of the operating system: they beat, hang, stop themselves, wait."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from app import cli
from app.embedded import broker, lock, status, watchdog
from app.embedded.supervisor import Supervisor
from app.kafka.lag import PREPROCESS_GROUP, WORKER_GROUP
from app.monitoring.progress import ProgressMonitor
from app.monitoring.progress_tracker import GroupPosition, GroupProgress
from app.settings import Settings
from tests.support.platform import platform_settings, read_pids

BEATS = """
import sys, time
from app.monitoring.heartbeat import Heartbeat, waits_for
from app.settings import settings
heart = Heartbeat(settings().home)
print("begun", flush=True)
if len(sys.argv) > 1:
    waits_for("ocr.features", sys.argv[1])
while True:
    heart.beat()
    time.sleep(0.1)
"""
HANGS = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    async def yes(*_: object) -> bool:
        return True

    monkeypatch.setattr(broker, "wait", yes)
    monkeypatch.setattr(watchdog, "CHECK_INTERVAL_SECONDS", 0.25)
    monkeypatch.setattr(watchdog, "PROGRESS_INTERVAL_SECONDS", 0.25)


@pytest.fixture
def standings(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], GroupProgress]:
    """What is said of Kafka, which is not there."""
    said: dict[tuple[str, str], GroupProgress] = {}

    async def refresh(self: ProgressMonitor) -> None:
        self.group_progress, self.unknown_reason = said, ""

    monkeypatch.setattr(ProgressMonitor, "refresh", refresh)
    return said


@asynccontextmanager
async def platform(tmp_path: Path, said: StringIO, /, **scripts: str) -> AsyncIterator[Settings]:
    """A supervisor of these processes."""
    procfile = tmp_path / "Procfile"
    lines = []
    for name, script in scripts.items():
        code, _, argument = script.partition("|")
        (tmp_path / f"{name}.py").write_text(code)
        lines.append(f"{name}: {sys.executable} {tmp_path / name}.py {argument}\n")
    procfile.write_text("".join(lines))
    config = platform_settings(
        tmp_path, tasks={"ocr": "models.ocr:Ocr"}, stalled_seconds=4, progress_seconds=4, kafka_bootstrap="127.0.0.1:1"
    )

    async def nothing(_: Settings) -> list[str]:
        return []

    console = Console(file=said, width=300)
    supervisor = Supervisor(config, procfile=procfile, provision=nothing, console=console)
    await supervisor.start()
    try:
        yield config
    finally:
        await supervisor.stop()


async def until(found: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it has not happened in time"
        await asyncio.sleep(0.05)


def of(config: Settings, name: str) -> status.ProcessStatus:
    found = status.read_status(config.home)
    assert found is not None
    return next(one for one in found.processes if one.name == name)


def is_running(config: Settings, *names: str) -> Callable[[], bool]:
    def look() -> bool:
        found = status.read_status(config.home)
        return found is not None and {one.name for one in found.processes if one.is_healthy} >= set(names)

    return look


async def test_what_is_stopped_is_named_killed_and_started_again_and_its_neighbour_is_left_alone(
    tmp_path: Path,
) -> None:
    said = StringIO()
    async with platform(tmp_path, said, recorder=BEATS, archive=BEATS) as config:
        await until(is_running(config, "recorder", "archive"))
        before = read_pids(config)
        os.kill(before["recorder"], signal.SIGSTOP)
        await until(lambda: of(config, "recorder").state == "not answering")
        await until(lambda: of(config, "recorder").restarts == 1 and of(config, "recorder").is_healthy)
        after = of(config, "recorder")
        assert after.pid != before["recorder"]
        assert after.reason.startswith("its main loop does not move, for ")
        assert "recorder | its main loop does not move, for " in said.getvalue()
        assert read_pids(config)["archive"] == before["archive"]
        notes = status.process_problems(status.read_status(config.home), time.time())
        assert len(notes) == 1
        assert notes[0].startswith("recorder was started again at ")


async def test_what_never_begins_to_answer_is_started_again_with_more_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.embedded.restart_policy.STARTUP_TIMEOUT_SECONDS", 1.0)
    async with platform(tmp_path, StringIO(), recorder=HANGS) as config:
        await until(lambda: of(config, "recorder").restarts >= 2 if status.read_status(config.home) else False)
        assert of(config, "recorder").state == "starting"
        assert "it has not begun to answer, for " in of(config, "recorder").reason


async def test_a_line_of_ones_own_is_kept_running_and_not_asked(tmp_path: Path) -> None:
    async with platform(tmp_path, StringIO(), mine=HANGS) as config:
        await until(is_running(config, "mine"))
        await asyncio.sleep(config.stalled_seconds + 1)
        assert of(config, "mine").restarts == 0


async def test_what_lives_but_makes_no_progress_is_started_again(
    tmp_path: Path, standings: dict[tuple[str, str], GroupProgress]
) -> None:
    async with platform(tmp_path, StringIO(), preprocess=BEATS, worker=BEATS) as config:
        await until(is_running(config, "preprocess", "worker"))
        standings |= still(config, waiting=7)
        await until(lambda: of(config, "preprocess").restarts == 1)
        assert of(config, "preprocess").reason == "no progress: 7 of ocr.requests wait"
        found = status.read_status(config.home)
        assert found is not None
        assert (found.tasks[0].stage, found.tasks[0].waiting) == ("preprocess", 7)
        assert of(config, "worker").restarts == 0


def still(config: Settings, waiting: int) -> dict[tuple[str, str], GroupProgress]:
    """Requests that wait for preprocessing for ever; the worker has nothing to do."""
    return {
        ("hindsight-recorder", "ocr.predictions"): GroupProgress(GroupPosition(0)),
        (WORKER_GROUP, "ocr.features"): GroupProgress(GroupPosition(0)),
        (PREPROCESS_GROUP, "ocr.requests"): GroupProgress(GroupPosition(0, waiting, waiting), 1000.0),
    }


async def test_what_waits_for_mlserver_has_mlserver_started_again(
    tmp_path: Path, standings: dict[tuple[str, str], GroupProgress]
) -> None:
    async with platform(tmp_path, StringIO(), mlserver=BEATS, worker=f"{BEATS}|MLServer-lost-it") as config:
        await until(is_running(config, "mlserver", "worker"))
        standings |= still(config, waiting=0)
        standings[WORKER_GROUP, "ocr.features"] = GroupProgress(GroupPosition(0, 3, 3), 1000.0)
        await until(lambda: of(config, "mlserver").restarts == 1)
        assert of(config, "mlserver").reason == "worker waits for it: ocr.features: MLServer-lost-it"
        assert of(config, "worker").restarts == 0


async def test_what_waits_for_a_storage_or_for_what_is_away_is_left_alone(
    tmp_path: Path, standings: dict[tuple[str, str], GroupProgress]
) -> None:
    async with platform(tmp_path, StringIO(), archive=f"{BEATS}|the-storage-is-away") as config:
        await until(is_running(config, "archive"))
        standings["hindsight-archive", "ocr.requests"] = GroupProgress(GroupPosition(0, 3, 3), 1000.0)
        await asyncio.sleep(3 * config.progress_seconds)
        assert of(config, "archive").restarts == 0
        assert of(config, "archive").waits == "ocr.features: the-storage-is-away"


async def test_status_logs_and_restart_from_the_command_line(
    tmp_path: Path, standings: dict[tuple[str, str], GroupProgress], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform(tmp_path, StringIO(), preprocess=BEATS) as config:
        await until(is_running(config, "preprocess"))
        monkeypatch.setattr("app.settings.settings", lambda: config)
        command = CliRunner()
        before = read_pids(config)["preprocess"]
        done = await asyncio.to_thread(command.invoke, cli.cli, ["restart", "preprocess"])
        assert done.exit_code == 0, done.output
        assert read_pids(config)["preprocess"] != before
        await until(is_running(config, "preprocess"))
        assert of(config, "preprocess").reason == "asked for by `hindsight restart`"

        standings |= still(config, waiting=0)
        await until(lambda: (found := status.read_status(config.home)) and found.tasks and found.is_healthy)
        well = await asyncio.to_thread(command.invoke, cli.cli, ["status", "--json"])
        assert well.exit_code == 0
        assert json.loads(well.output)["well"] is True

        standings |= still(config, waiting=7)
        await until(
            lambda: (found := status.read_status(config.home)) and found.tasks and not found.tasks[0].is_healthy
        )
        wrong = await asyncio.to_thread(command.invoke, cli.cli, ["status"])
        assert wrong.exit_code == 1
        assert "preprocess delays requests. Remedy: `hindsight restart preprocess`" in wrong.output

        logs = await asyncio.to_thread(command.invoke, cli.cli, ["logs", "preprocess", "-n", "1"])
        assert logs.output == "begun\n"
        unknown = await asyncio.to_thread(command.invoke, cli.cli, ["restart", "nothing"])
        assert "The platform has no process 'nothing'." in str(unknown.exception)
    assert lock.holder_pid(config.home) is None
    assert "No platform runs in" in str((await asyncio.to_thread(command.invoke, cli.cli, ["status"])).exception)


async def test_the_home_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with platform(tmp_path, StringIO(), recorder=BEATS) as config:
            await until(is_running(config, "recorder"))
            assert config.home.stat().st_mode & 0o777 == 0o700
            assert {path.stat().st_mode & 0o077 for path in config.home.rglob("*")} == {0}
    finally:
        os.umask(before)
