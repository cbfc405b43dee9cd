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
        str | None, typer.Option(help="Erase all that is about this subject (ce_subject, or the key) and came of it.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Erase all feedback of this actor.")] = None,
    requested_by: Annotated[
        str | None, typer.Option(help="Who asks for it, for the log; by default the user of this computer.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and erase nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON; with --dry-run or --yes.")] = False,
) -> None:
    """Erase a person's data: from the archive, Kafka, blobs, datasets and the catalog. It can't be undone.

    The platform must run. Datasets that are out of reach, or damaged, are named, and the exit code is then 1.
    """
    from app.erasure import erase as erasing
    from app.erasure.search import DataSubject
    from app.errors import SetupError, Unavailable
    from app.settings import settings

    if bool(subject) == bool(actor):
        raise typer.BadParameter("either --subject or --actor is needed")
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json can't ask: --dry-run or --yes is needed")
    whose = DataSubject(subject or None, actor or None)
    try:
        if dry_run or not yes:
            with _progress_bars() as progress:
                found = asyncio.run(erasing.plan_erasure(settings(), whose, progress))
            counts = found.counts()
            print(json.dumps(counts) if as_json else "\n".join(f"{name:<24} {n:>10}" for name, n in counts.items()))
            for location in found.unreachable_datasets:
                _warn_unreachable(location)
            if dry_run:
                return
            if not any(counts.values()):
                print("Nothing is left. An erasure that was interrupted is completed by going on.")
            print("Of others' events Kafka forgets those before the last of these; they stay in the archive.")
            typer.confirm("Erase it for ever?", abort=True)
        with _progress_bars() as progress:
            done = asyncio.run(erasing.erase(settings(), whose, requested_by or getpass.getuser(), progress))
    except (Unavailable, OSError) as error:
        raise SetupError(
            f"The erasure is not complete: {error}.", "Run it again: it goes on where it stopped."
        ) from error
    _report(done, as_json)
    raise typer.Exit(1 if done.unreachable_datasets else 0)


def _report(done: "ErasureResult", as_json: bool) -> None:
    if as_json:
        print(json.dumps(done.event.model_dump(mode="json") | {"unreachable": done.unreachable_datasets}))
    else:
        for name, count in done.event.counts.items():
            print(f"{name:<24} {count:>10} erased")
        print(f"erasure {done.event.erasure_id} is in the log")
    for location in done.unreachable_datasets:
        _warn_unreachable(location)


def _warn_unreachable(location: str) -> None:
    remedy = "it is elsewhere or damaged: run this where it is as well, or delete its rows.parquet there"
    print(f"the dataset {location} can't be looked into from here: {remedy}", file=sys.stderr)


@contextmanager
def _progress_bars() -> "Iterator[ErasureProgress]":
    """Bars on the terminal, one for each thing that is done."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        known: dict[str, TaskID] = {}

        def say(doing: str, done: int, of: int) -> None:
            if doing not in known:
                known[doing] = bars.add_task(doing, total=of)
            bars.update(known[doing], completed=done, total=of)

        yield say
