"""`hindsight status`: each process and each task, as the supervisor sees them."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.embedded.status import PlatformStatus

STALE_MESSAGE = (
    "its supervisor, process {pid}, does not say how it is. Remedy: stop it by `kill {pid}`, and start it again."
)


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight status --json")
    def status(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
        """Say how each process and each task is. Ends with 1 where something is wrong."""
        from app.settings import settings

        found = read_running_status(settings().home)
        if as_json:
            print(json.dumps(asdict(found) | {"well": found.is_healthy and found.is_fresh}))
        else:
            _print_status(found)
        raise typer.Exit(0 if found.is_healthy and found.is_fresh else 1)


def read_running_status(home: Path) -> "PlatformStatus":
    """What the supervisor of the platform of this home says. Raises SetupError where none runs."""
    from app.embedded import lock
    from app.embedded import status as statuses
    from app.errors import SetupError

    pid = lock.holder_pid(home)
    if pid is None:
        raise SetupError(
            f"No platform runs in {home}.", "Start it with `hindsight up`, or set HINDSIGHT_HOME to its home."
        )
    return statuses.read_status(home) or statuses.PlatformStatus(pid, time.time(), unknown="the platform is starting")


def _print_status(found: "PlatformStatus") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table("Process", "State", "Pid", "For", "Restarts", "Last restart", box=None, pad_edge=False)
    for one in found.processes:
        state = f"{one.state}: waits {one.waits}" if one.waits else one.state
        why = f"{format_duration(time.time() - one.restarted)} ago: {one.reason}" if one.restarted else ""
        age = format_duration(time.time() - one.since) if one.since and one.pid else ""
        style = "" if one.is_healthy else "bold red"
        table.add_row(one.name, state, str(one.pid or ""), age, str(one.restarts), why, style=style)
    console.print(table)
    if found.tasks:
        console.print()
        table = Table("Task", "Waiting", "Last answer", "State", box=None, pad_edge=False)
        for task in found.tasks:
            last = "none seen" if task.answered_seconds is None else f"{format_duration(task.answered_seconds)} ago"
            state = (
                "ok"
                if task.is_healthy
                else f"not answering for {format_duration(task.held_seconds)}: held by {task.stage}"
            )
            table.add_row(task.name, f"{task.waiting:,}", last, state, style="" if task.is_healthy else "bold red")
        console.print(table)
    if found.unknown:
        console.print(f"\nThe tasks: {found.unknown}.")
    for line in list_remedies(found):
        console.print(line, style="bold red")


def list_remedies(found: "PlatformStatus") -> list[str]:
    """What is wrong, and what to do about it, a line each."""
    if not found.is_fresh:
        return [STALE_MESSAGE.format(pid=found.pid)]
    lines = [
        f"{one.name}: {one.state}. Remedy: `hindsight logs {one.name}` says why; `hindsight restart {one.name}`."
        for one in found.processes
        if not one.is_healthy
    ]
    stages = sorted({task.stage for task in found.tasks if not task.is_healthy})
    lines += [
        f"{stage} holds up requests. Remedy: `hindsight restart {stage}`; see docs/runbooks.md." for stage in stages
    ]
    return lines


def format_duration(seconds: float) -> str:
    """A time in its largest unit: 42 s, 7 min, 3 h, 2 d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
