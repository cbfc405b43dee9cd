"""`hindsight status`: the supervisor's status of each process and each task."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.embedded.status import PlatformStatus

STALE_MESSAGE = (
    "its supervisor, process {pid}, reports no status. Remedy: stop it with `kill {pid}`, and start it again."
)


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight status --json")
    def status(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
        """Print the status of each process and each task. Exit code 1 if one is not healthy."""
        from app.settings import settings

        platform = read_running_status(settings().home)
        if as_json:
            print(json.dumps(asdict(platform) | {"well": platform.is_healthy and platform.is_fresh}))
        else:
            _print_status(platform)
        raise typer.Exit(0 if platform.is_healthy and platform.is_fresh else 1)


def read_running_status(home: Path) -> "PlatformStatus":
    """Return the status that the supervisor of this home's platform reports. Raises SetupError if none runs."""
    from app.embedded import lock
    from app.embedded.status import PlatformStatus, read_status
    from app.errors import SetupError

    pid = lock.holder_pid(home)
    if pid is None:
        raise SetupError(
            f"No platform runs in {home}.", "Start it with `hindsight up`, or set HINDSIGHT_HOME to its home."
        )
    return read_status(home) or PlatformStatus(pid, time.time(), unknown="the platform is starting")


def _print_status(platform: "PlatformStatus") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table("Process", "State", "Pid", "For", "Restarts", "Last restart", box=None, pad_edge=False)
    for process in platform.processes:
        state = f"{process.state}: waits {process.waits}" if process.waits else process.state
        restart = (
            f"{format_duration(time.time() - process.restarted)} ago: {process.reason}" if process.restarted else ""
        )
        age = format_duration(time.time() - process.since) if process.since and process.pid else ""
        style = "" if process.is_healthy else "bold red"
        table.add_row(process.name, state, str(process.pid or ""), age, str(process.restarts), restart, style=style)
    console.print(table)
    if platform.tasks:
        console.print()
        table = Table("Task", "Waiting", "Last answer", "State", box=None, pad_edge=False)
        for task in platform.tasks:
            last = "none seen" if task.answered_seconds is None else f"{format_duration(task.answered_seconds)} ago"
            state = (
                "ok"
                if task.is_healthy
                else f"not answering for {format_duration(task.held_seconds)}: held by {task.stage}"
            )
            table.add_row(task.name, f"{task.waiting:,}", last, state, style="" if task.is_healthy else "bold red")
        console.print(table)
    if platform.unknown:
        console.print(f"\nThe tasks: {platform.unknown}.")
    for line in list_remedies(platform):
        console.print(line, style="bold red")


def list_remedies(platform: "PlatformStatus") -> list[str]:
    """Return a line for each problem, with its remedy."""
    if not platform.is_fresh:
        return [STALE_MESSAGE.format(pid=platform.pid)]
    lines = [
        f"{process.name}: {process.state}. "
        f"Remedy: read `hindsight logs {process.name}`, then `hindsight restart {process.name}`."
        for process in platform.processes
        if not process.is_healthy
    ]
    stages = sorted({task.stage for task in platform.tasks if not task.is_healthy})
    lines += [
        f"{stage} delays requests. Remedy: `hindsight restart {stage}`; see docs/runbooks.md." for stage in stages
    ]
    return lines


def format_duration(seconds: float) -> str:
    """Return the duration in its largest unit: 42 s, 7 min, 3 h, 2 d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
