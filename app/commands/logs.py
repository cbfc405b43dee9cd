"""`hindsight logs [PROCESS] [-f]`: print the logs of the processes."""

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Annotated

import typer

POLL_SECONDS = 0.2


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight logs preprocess -f")
    def logs(
        process: Annotated[str | None, typer.Argument(help="The process; by default all.")] = None,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
        lines: Annotated[
            int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="How many lines of each log.")
        ] = 20,
    ) -> None:
        """Print the end of the logs."""
        from app.errors import SetupError
        from app.settings import settings

        folder = settings().home / "logs"
        paths = {path.stem: path for path in sorted(folder.glob("*.log"))}
        if process is not None and process not in paths:
            raise SetupError(
                f"{folder} has no log of {process}.",
                f"Name one of {', '.join(paths)}." if paths else "Start the platform with `hindsight up`.",
            )
        selected = paths if process is None else {process: paths[process]}
        for name, path in selected.items():
            _print(name if process is None else "", _tail_lines(path, lines))
        if follow:
            _follow(selected, named=process is None)


def _tail_lines(path: Path, lines: int) -> Iterable[str]:
    with path.open(errors="replace") as file:
        return deque(file, maxlen=lines)


def _print(name: str, lines: Iterable[str]) -> None:
    for line in lines:
        print(f"{name:>12} | {line.rstrip()}" if name else line.rstrip(), flush=True)


def _follow(paths: Mapping[str, Path], named: bool) -> None:
    files = {name: _open_log(path, at_end=True) for name, path in paths.items()}
    while True:
        for name, path in paths.items():
            _print(name if named else "", files[name])
            if _is_replaced(path, files[name]):  # a full log is rotated
                files[name].close()
                files[name] = _open_log(path, at_end=False)
        time.sleep(POLL_SECONDS)


def _open_log(path: Path, at_end: bool) -> IO[str]:
    file = path.open(errors="replace")
    if at_end:
        file.seek(0, 2)
    return file


def _is_replaced(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
