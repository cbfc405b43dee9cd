"""The watchdog over small scripts, run as processes: they write heartbeats, hang, wait, or are stopped."""

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
import os, pathlib, sys, time
from app.monitoring.heartbeat import Heartbeat, report_wait
heartbeat = Heartbeat(pathlib.Path(os.environ["HINDSIGHT_HOME"]))
print("begun", flush=True)
if len(sys.argv) > 1:
    report_wait("ocr.features", sys.argv[1])
while True:
    heartbeat.beat()
    time.sleep(0.1)
"""
HANGS = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(*_: object) -> bool:
        return True

    monkeypatch.setattr(broker, "wait", wait)
    monkeypatch.setattr(watchdog, "CHECK_INTERVAL_SECONDS", 0.25)
    monkeypatch.setattr(watchdog, "PROGRESS_INTERVAL_SECONDS", 0.25)


@pytest.fixture
def group_progress(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], GroupProgress]:
    """The progress that the monitor reports, without Kafka."""
    progress: dict[tuple[str, str], GroupProgress] = {}

    async def refresh(self: ProgressMonitor) -> None:
        self.group_progress, self.unknown_reason = progress, ""

    monkeypatch.setattr(ProgressMonitor, "refresh", refresh)
    return progress


@asynccontextmanager
async def run_scripts(
    tmp_path: Path, output: StringIO, /, liveness: float = 60, progress: float = 60, **scripts: str
) -> AsyncIterator[Settings]:
    """Run a supervisor of these scripts, each CODE or CODE|ARGUMENT, with these timeouts in seconds."""
    procfile = tmp_path / "Procfile"
    lines = []
    for name, script in scripts.items():
        code, _, argument = script.partition("|")
        (tmp_path / f"{name}.py").write_text(code)
        lines.append(f"{name}: {sys.executable} {tmp_path / name}.py {argument}\n")
    procfile.write_text("".join(lines))
    config = platform_settings(
        tmp_path,
        tasks={"ocr": "models.small.ocr:Ocr"},
        liveness_timeout_seconds=liveness,
        progress_timeout_seconds=progress,
        kafka_bootstrap="127.0.0.1:1",
    )

    async def provision(_: Settings) -> list[str]:
        return []

    console = Console(file=output, width=300)
    supervisor = Supervisor(config, procfile=procfile, provision=provision, console=console)
    await supervisor.start()
    try:
        yield config
    finally:
        await supervisor.stop()


async def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.05)


def process_status(config: Settings, name: str) -> status.ProcessStatus:
    platform = status.read_status(config.home)
    assert platform is not None
    return next(process for process in platform.processes if process.name == name)


def is_running(config: Settings, *names: str) -> Callable[[], bool]:
    def check() -> bool:
        platform = status.read_status(config.home)
        return platform is not None and {one.name for one in platform.processes if one.is_healthy} >= set(names)

    return check


async def test_a_process_that_hangs_is_named_killed_and_restarted_and_its_neighbour_is_left_alone(
    tmp_path: Path,
) -> None:
    output = StringIO()
    async with run_scripts(tmp_path, output, liveness=3, recorder=BEATS, archive=BEATS) as config:
        await until(is_running(config, "recorder", "archive"))
        before = read_pids(config)
        os.kill(before["recorder"], signal.SIGSTOP)
        await until(lambda: process_status(config, "recorder").state == "not answering")
        await until(
            lambda: process_status(config, "recorder").restarts == 1 and process_status(config, "recorder").is_healthy
        )
        after = process_status(config, "recorder")
        assert after.pid != before["recorder"]
        assert after.reason.startswith("its main loop does not move, for ")
        assert "recorder | its main loop does not move, for " in output.getvalue()
        assert read_pids(config)["archive"] == before["archive"]
        [problem] = status.process_problems(status.read_status(config.home), time.time())
        assert problem.startswith("recorder was restarted at ")


async def test_a_process_that_never_begins_to_answer_is_restarted_after_a_longer_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.embedded.restart_policy.STARTUP_TIMEOUT_SECONDS", 0.4)
    async with run_scripts(tmp_path, StringIO(), recorder=HANGS) as config:
        await until(
            lambda: process_status(config, "recorder").restarts >= 2 if status.read_status(config.home) else False
        )
        assert process_status(config, "recorder").state == "starting"
        assert "it has not begun to answer, for " in process_status(config, "recorder").reason


async def test_an_unknown_line_of_the_procfile_is_kept_running_and_not_probed(tmp_path: Path) -> None:
    async with run_scripts(tmp_path, StringIO(), liveness=0.5, mine=HANGS) as config:
        await until(is_running(config, "mine"))
        await asyncio.sleep(config.liveness_timeout_seconds + 1)
        assert process_status(config, "mine").restarts == 0


async def test_a_process_that_runs_but_makes_no_progress_is_restarted(
    tmp_path: Path, group_progress: dict[tuple[str, str], GroupProgress]
) -> None:
    async with run_scripts(tmp_path, StringIO(), progress=1, preprocess=BEATS, worker=BEATS) as config:
        await until(is_running(config, "preprocess", "worker"))
        group_progress |= stalled_progress(waiting=7)
        await until(lambda: process_status(config, "preprocess").restarts == 1)
        assert process_status(config, "preprocess").reason == "no progress: 7 of ocr.requests wait"
        platform = status.read_status(config.home)
        assert platform is not None
        assert (platform.tasks[0].stage, platform.tasks[0].waiting) == ("preprocess", 7)
        assert process_status(config, "worker").restarts == 0


def stalled_progress(waiting: int) -> dict[tuple[str, str], GroupProgress]:
    """Return the progress of a preprocessing that does not move; the worker has nothing to do."""
    return {
        ("hindsight-recorder", "ocr.predictions"): GroupProgress(GroupPosition(0)),
        (WORKER_GROUP, "ocr.features"): GroupProgress(GroupPosition(0)),
        (PREPROCESS_GROUP, "ocr.requests"): GroupProgress(GroupPosition(0, waiting, waiting), 1000.0),
    }


async def test_a_worker_that_waits_for_mlserver_has_mlserver_restarted(
    tmp_path: Path, group_progress: dict[tuple[str, str], GroupProgress]
) -> None:
    waiting = f"{BEATS}|MLServer-lost-it"
    async with run_scripts(tmp_path, StringIO(), progress=1, mlserver=BEATS, worker=waiting) as config:
        await until(is_running(config, "mlserver", "worker"))
        group_progress |= stalled_progress(waiting=0)
        group_progress[WORKER_GROUP, "ocr.features"] = GroupProgress(GroupPosition(0, 3, 3), 1000.0)
        await until(lambda: process_status(config, "mlserver").restarts == 1)
        assert process_status(config, "mlserver").reason == "worker waits for it: ocr.features: MLServer-lost-it"
        assert process_status(config, "worker").restarts == 0


async def test_a_process_that_waits_for_its_storage_is_left_alone(
    tmp_path: Path, group_progress: dict[tuple[str, str], GroupProgress]
) -> None:
    async with run_scripts(tmp_path, StringIO(), progress=1, archive=f"{BEATS}|the-storage-is-away") as config:
        await until(is_running(config, "archive"))
        group_progress |= stalled_progress(waiting=0)
        group_progress["hindsight-archive", "ocr.requests"] = GroupProgress(GroupPosition(0, 3, 3), 1000.0)
        before = read_pids(config)
        await asyncio.sleep(2 * config.progress_timeout_seconds + 2)  # settled, then stalled, then restarted
        assert read_pids(config) == before
        assert process_status(config, "archive").restarts == 0
        assert process_status(config, "archive").waits == "ocr.features: the-storage-is-away"


async def test_status_logs_and_restart_from_the_command_line(
    tmp_path: Path, group_progress: dict[tuple[str, str], GroupProgress], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_scripts(tmp_path, StringIO(), preprocess=BEATS) as config:
        await until(is_running(config, "preprocess"))
        monkeypatch.setattr("app.settings.settings", lambda: config)
        runner = CliRunner()
        before = read_pids(config)["preprocess"]
        restart = await asyncio.to_thread(runner.invoke, cli.cli, ["restart", "preprocess"])
        assert restart.exit_code == 0, restart.output
        assert read_pids(config)["preprocess"] != before
        await until(is_running(config, "preprocess"))
        assert process_status(config, "preprocess").reason == "requested by `hindsight restart`"

        group_progress |= stalled_progress(waiting=0)
        await until(lambda: (platform := status.read_status(config.home)) and platform.tasks and platform.is_healthy)
        healthy = await asyncio.to_thread(runner.invoke, cli.cli, ["status", "--json"])
        assert healthy.exit_code == 0
        assert json.loads(healthy.output)["well"] is True

        group_progress |= stalled_progress(waiting=7)
        await until(
            lambda: (
                (platform := status.read_status(config.home)) and platform.tasks and not platform.tasks[0].is_healthy
            )
        )
        unhealthy = await asyncio.to_thread(runner.invoke, cli.cli, ["status"])
        assert unhealthy.exit_code == 1
        assert "preprocess delays requests. Remedy: `hindsight restart preprocess`" in unhealthy.output

        logs = await asyncio.to_thread(runner.invoke, cli.cli, ["logs", "preprocess", "-n", "1"])
        assert logs.output == "begun\n"
        unknown = await asyncio.to_thread(runner.invoke, cli.cli, ["restart", "nothing"])
        assert "The platform has no process 'nothing'." in str(unknown.exception)
    assert lock.holder_pid(config.home) is None
    assert "No platform runs in" in str((await asyncio.to_thread(runner.invoke, cli.cli, ["status"])).exception)


async def test_the_home_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with run_scripts(tmp_path, StringIO(), recorder=BEATS) as config:
            await until(is_running(config, "recorder"))
            assert config.home.stat().st_mode & 0o777 == 0o700
            assert {path.stat().st_mode & 0o077 for path in config.home.rglob("*")} == {0}
    finally:
        os.umask(before)
