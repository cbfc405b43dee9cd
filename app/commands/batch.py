"""`hindsight batch TASK SOURCES --out FILE`: predictions of many payloads, as a Parquet file."""

from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight batch ocr scans/ --out predictions.parquet")(batch)


def batch(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    sources: Annotated[list[str], typer.Argument(help="Directories, files or blob:// URIs.")],
    out: Annotated[Path, typer.Option(help="The Parquet file of predictions to write.", dir_okay=False)],
    no_log: Annotated[bool, typer.Option("--no-log", help="Keep these predictions out of the event log.")] = False,
) -> None:
    """Predict many payloads at once, into a file with a row for each."""
    from rich.console import Console
    from rich.progress import Progress

    from app.inference.batch import run_batch
    from app.settings import settings

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        counts = run_batch(
            settings(),
            task,
            sources,
            out,
            log=not no_log,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    print(f"{out}: {counts['predicted']} predicted, {counts['failed']} failed")
