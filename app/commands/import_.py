"""`hindsight import`."""

import asyncio
import getpass
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from app.importers.example import RejectedRow

_EXAMPLES = """Examples: hindsight import ocr scans/labels.csv; hindsight import speech_to_text LibriSpeech/dev-clean;
hindsight import object_detection s3://photos/coco --format coco; hindsight import decision clicks.csv"""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("import", epilog=_EXAMPLES)(import_)


def import_(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    source: Annotated[str, typer.Argument(help="A directory, a file, or s3://bucket/prefix.")],
    format: Annotated[
        Literal["jsonl", "csv", "librispeech", "coco", "bandit"] | None,
        typer.Option(help="What the source is; by default, what its files look like."),
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Who says so, in the log; by default import: and the user of this computer.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")] = False,
) -> None:
    """Bring history that you have into the event log: payloads, and what would have been right or what it earned.

    What was served comes from the source where it says so, else the model is asked: the platform must run. What is in
    the log already is left out: interrupted, it goes on where it stopped. Ends with 1 if a row was rejected.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from app.errors import SetupError
    from app.importers import formats
    from app.importers.importer import Importer
    from app.importers.locations import SourceReader
    from app.settings import settings
    from app.tasks import load_task

    loaded = load_task(settings(), task)

    def reject(row: "RejectedRow") -> None:
        if as_json:
            print(json.dumps(asdict(row)))
        else:
            print(f"{row.where}: {row.code}: {row.reason}", file=sys.stderr)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    try:
        found = formats.open_source(SourceReader(settings()), source, format)
        print(f"{source} is read as {found.format}.", file=sys.stderr)
        with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as progress:
            bar = progress.add_task(task, total=None)
            total = sum(1 for _ in found.read_examples())
            importer = Importer(settings(), loaded, found.root, actor or f"import:{_user_name()}", reject)
            counts = asyncio.run(
                importer.run(found.read_examples(), lambda done: progress.update(bar, completed=done, total=total))
            )
    except OSError as error:
        raise SetupError(
            f"The import is not complete: {error}.", "Run it again: it goes on where it stopped."
        ) from error
    if as_json:
        print(json.dumps(asdict(counts)))
    else:
        print(f"{counts.imported} imported, {counts.known} in the log already, {counts.rejected} rejected")
    raise typer.Exit(1 if counts.rejected else 0)


def _user_name() -> str:
    with suppress(OSError, KeyError):  # a container's user may have no name
        return getpass.getuser()
    return "unknown"
