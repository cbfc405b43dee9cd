"""`hindsight batch TASK SOURCES --out FILE`: predictions of many payloads, as a Parquet file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.commands.arguments import TaskArgument

_MAX_NAMES = 5


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight batch ocr scans/ --out predictions.parquet")(batch)


def batch(
    task: TaskArgument,
    sources: Annotated[list[str], typer.Argument(help="Directories, files or blob:// URIs.")],
    out: Annotated[Path, typer.Option(help="The Parquet file of predictions to write.", dir_okay=False)],
    no_log: Annotated[bool, typer.Option("--no-log", help="Keep these predictions out of the event log.")] = False,
) -> None:
    """Predict many payloads at once, into a file with a row for each. Ends with 1 if a payload has no prediction.

    Of directories, files of another kind than the task's samples are left out, such as labels.csv beside pictures.
    """
    from rich.console import Console
    from rich.progress import Progress

    from app.inference.batch import run_batch
    from app.settings import settings

    left_out: list[Path] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        counts = run_batch(
            settings(),
            task,
            sources,
            out,
            log=not no_log,
            left_out=left_out.append,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    print(f"{out}: {counts['predicted']} predicted, {counts['failed']} failed")
    if left_out:
        names = ", ".join(map(str, left_out[:_MAX_NAMES])) + (", ..." if len(left_out) > _MAX_NAMES else "")
        print(f"left out {len(left_out)} of another kind; name them to predict them: {names}", file=sys.stderr)
    raise typer.Exit(1 if counts["failed"] else 0)
