"""`hindsight erase`."""

import asyncio
import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.erasure.erase import ErasureProgress, ErasureResult


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Examples: hindsight erase --subject patient-7; hindsight erase --actor ada")(erase)


def erase(
    subject: Annotated[
        str | None, typer.Option(help="Erase all data about this subject (ce_subject, or the key) or derived from it.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Erase all feedback of this actor.")] = None,
    requested_by: Annotated[
        str | None, typer.Option(help="Who requests it, for the log; by default the user of this computer.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be erased; erase nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON; with --dry-run or --yes.")] = False,
) -> None:
    """Erase a person's data: from the archive, Kafka, blobs, datasets and the catalog. It can't be undone.

    The platform must run. Unreachable or damaged datasets are listed, and the exit code is then 1.
    """
    from app.erasure import erase as erasure
    from app.erasure.search import DataSubject
    from app.errors import SetupError, Unavailable
    from app.settings import settings

    if bool(subject) == bool(actor):
        raise typer.BadParameter("give either --subject or --actor")
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json can't ask for confirmation: add --dry-run or --yes")
    data_subject = DataSubject(subject or None, actor or None)
    try:
        if dry_run or not yes:
            with _progress_bars() as progress:
                plan = asyncio.run(erasure.plan_erasure(settings(), data_subject, progress))
            counts = plan.counts()
            print(json.dumps(counts) if as_json else "\n".join(f"{name:<24} {n:>10}" for name, n in counts.items()))
            for location in plan.unreachable_datasets:
                _warn_unreachable(location)
            if dry_run:
                return
            if not any(counts.values()):
                print("Nothing is left to erase. Continue to complete an interrupted erasure.")
            print("Kafka also deletes other events before the last of these; they stay in the archive.")
            typer.confirm("Erase it for ever?", abort=True)
        with _progress_bars() as progress:
            result = asyncio.run(erasure.erase(settings(), data_subject, requested_by or getpass.getuser(), progress))
    except (Unavailable, OSError) as error:
        raise SetupError(
            f"The erasure is not complete: {error}.", "Run it again: it continues where it stopped."
        ) from error
    _report(result, as_json)
    raise typer.Exit(1 if result.unreachable_datasets else 0)


def _report(result: "ErasureResult", as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.event.model_dump(mode="json") | {"unreachable": result.unreachable_datasets}))
    else:
        for name, count in result.event.counts.items():
            print(f"{name:<24} {count:>10} erased")
        print(f"erasure {result.event.erasure_id} is in the log")
    for location in result.unreachable_datasets:
        _warn_unreachable(location)


def _warn_unreachable(location: str) -> None:
    remedy = "it is on another machine or damaged: run this command there too, or delete its rows.parquet"
    print(f"the dataset {location} can't be read from here: {remedy}", file=sys.stderr)


@contextmanager
def _progress_bars() -> "Iterator[ErasureProgress]":
    """Show one progress bar per step."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar_ids: dict[str, TaskID] = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in bar_ids:
                bar_ids[step] = bars.add_task(step, total=total)
            bars.update(bar_ids[step], completed=done, total=total)

        yield progress
