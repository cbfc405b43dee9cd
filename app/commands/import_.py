"""`hindsight import`."""

import asyncio
import getpass
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.commands.arguments import TaskArgument

if TYPE_CHECKING:
    from app.importers.example import RejectedRow
    from app.importers.formats import ImportSource
    from app.importers.importer import ImportCounts, Importer

_EXAMPLES = """Examples: hindsight import ocr scans/labels.csv; hindsight import speech_to_text LibriSpeech/dev-clean;
hindsight import object_detection s3://photos/coco --format coco; hindsight import decision clicks.csv;
hindsight import ocr lines.csv --map file=path --map text=label --dry-run"""

_Format = Literal[
    "jsonl", "csv", "commonvoice", "ljspeech", "librispeech", "yolo", "coco", "voc", "paddleocr", "bandit", "dsjson"
]  # those of `app.importers.layouts`, whose import would make --help slow


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("import", epilog=_EXAMPLES)(import_)


def import_(
    task: TaskArgument,
    source: Annotated[str, typer.Argument(help="A directory, a file, or s3://bucket/prefix.")],
    format: Annotated[
        _Format | None,
        typer.Option(help="The source's format; by default it is detected from the files."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(help="The actor of the feedback; by default import: and the user of this computer."),
    ] = None,
    column_names: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="COLUMN=NAME", help="Read a table's column under the name that is needed: file=path."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count all rows; publish nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")] = False,
) -> None:
    """Import your history into the event log: payloads with corrections or rewards.

    Rows without a served output are predicted by the model, so the platform must run. Rows that are already in the log
    are left out, so an interrupted import continues where it stopped. Exit code 1 if a row was rejected, or there is
    none. With --dry-run the platform need not run, and what is in the log is not known.
    """
    from app.errors import SetupError
    from app.importers import formats
    from app.importers.importer import Importer
    from app.importers.locations import SourceReader
    from app.settings import settings
    from app.tasks import load_task

    loaded_task = load_task(settings(), task)

    def reject(row: "RejectedRow") -> None:
        if as_json:
            print(json.dumps(asdict(row)))
        else:
            print(f"{row.where}: {row.code}: {row.reason}", file=sys.stderr)

    try:
        import_source = formats.open_source(SourceReader(settings()), source, format, _parse_names(column_names))
        print(f"{source} is read as {import_source.format}.", file=sys.stderr)
        for uri in import_source.passed_over:
            print(f"{uri} is passed over: it is not of this format.", file=sys.stderr)
        importer = Importer(settings(), loaded_task, import_source.root, actor or f"import:{_user_name()}", reject)
        counts = _import_rows(importer, import_source, dry_run)
    except OSError as error:
        raise SetupError(
            f"The import is not complete: {error}.", "Run it again: it continues where it stopped."
        ) from error
    if as_json:
        print(json.dumps(asdict(counts)))
    elif dry_run:
        print(f"{counts.imported} can be imported, {counts.known} repeated, {counts.rejected} rejected; none published")
    else:
        print(f"{counts.imported} imported, {counts.known} already in the log, {counts.rejected} rejected")
    raise typer.Exit(1 if counts.rejected else 0)


def _import_rows(importer: "Importer", source: "ImportSource", dry_run: bool) -> "ImportCounts":
    """Import all rows, or only check them, with a progress bar. Raises `SetupError` if there is none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from app.errors import SetupError

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as progress:
        bar = progress.add_task(source.format, total=None)
        total = sum(1 for _ in source.read_examples())
        if not total:
            raise SetupError(
                f"There is nothing to import in {source.root}: it has no rows.", "Check the file, and set --format."
            )

        def advance(done: int) -> None:
            progress.update(bar, completed=done, total=total)

        rows = source.read_examples()
        return importer.check(rows, advance) if dry_run else asyncio.run(importer.run(rows, advance))


def _parse_names(options: list[str] | None) -> dict[str, str]:
    """Return the names that the options give columns."""
    names = dict(option.partition("=")[::2] for option in options or ())
    if not all(column and name for column, name in names.items()):
        raise typer.BadParameter("COLUMN=NAME is needed, such as file=path", param_hint="--map")
    return names


def _user_name() -> str:
    with suppress(OSError, KeyError):  # a container's user may have no name
        return getpass.getuser()
    return "unknown"
