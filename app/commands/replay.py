"""`hindsight replay`."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.replay.query import ReplayQuery
    from app.replay.republish import RepublishPlan
    from app.replay.selection import ReplayProgress

_EXAMPLES = """Examples: hindsight replay ocr --out september --from 2026-09-01 --to 2026-10-01;
hindsight replay ocr --out sure --where "confidence > 0.9 AND label IS NOT NULL" --as-of 2026-10-01T12:00:00Z;
hindsight replay ocr --to-topic rehearsal --from 2026-09-01 --speed 10x"""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(replay)


def replay(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    out: Annotated[Path | None, typer.Option(help="The directory to write the dataset into.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Requests from this time on (ce_time).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Requests before this time (ce_time).")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Only what was in the log by then; by default, now.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="A condition in SQL on the columns of a row.")] = None,
    content: Annotated[str, typer.Option(help="What to put in: features, payload or nothing.")] = "features",
    to_topic: Annotated[str | None, typer.Option(help="Publish the requests again, to this topic.")] = None,
    speed: Annotated[str, typer.Option(help="With --to-topic: how much faster than it was, such as 10x.")] = "1x",
    rate: Annotated[float, typer.Option(min=0.001, help="With --to-topic: at most so many events a second.")] = 1000.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --to-topic: publish without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --to-topic: only say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the manifest as JSON.")] = False,
) -> None:
    """Make a dataset of a task's history, as it was known at a moment; or publish that history to a topic again.

    The same arguments over the same log make the same dataset, with the same content hash, for ever.
    """
    from app.replay.query import ReplayQuery
    from app.settings import settings

    if (out is None) == (to_topic is None):
        raise typer.BadParameter("either --out DIR or --to-topic TOPIC is needed")
    arguments = ReplayQuery.from_options(
        settings(),
        task,
        since=since,
        until=until,
        as_of=as_of,
        where=where,
        content=content if out else "nothing",
    )
    if out is not None:
        _write_dataset(arguments, out, as_json)
        return
    from app.replay import republish

    assert to_topic is not None
    pace = republish.RepublishRate(_parse_speed(speed), rate)
    with progress_bars() as (progress, pause):

        def agreed(history: "RepublishPlan") -> bool:
            pause()
            print(f"{history.requests} requests go to {to_topic}, in {_format_duration(history.duration_seconds)}.")
            return not dry_run and (yes or typer.confirm("Publish them?"))

        count = republish.republish(settings(), arguments, to_topic, pace, agreed, progress)
    print(f"{count} requests were published")


def _write_dataset(arguments: "ReplayQuery", out: Path, as_json: bool) -> None:
    from app.replay import replay as replays
    from app.settings import settings

    with progress_bars() as (progress, _):
        manifest = replays.replay(settings(), arguments, out, progress)
    if as_json:
        print(json.dumps(manifest))
        return
    print(f"{out}: {manifest['rows']} rows {manifest['splits']}, content hash {manifest['content_hash']}")
    for kind, count in manifest["counts"].items():
        others = {reason: n for fate in ("skipped", "rejected") for reason, n in count[fate].items()}
        print(f"  {kind:<11} {count['read']:>9} read  {count['rows']:>9} in rows  {_format_reasons(others)}")
    if manifest["without_content"]:
        print(f"  rows without {arguments.content}: {_format_reasons(manifest['without_content'])}")


def _parse_speed(speed: str) -> float:
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise typer.BadParameter(f"{speed!r} is no speed: 10x, 0.5x or inf is", param_hint="--speed")
    return factor


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=math.ceil(seconds)))


def _format_reasons(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items())


@contextmanager
def progress_bars() -> Iterator[tuple["ReplayProgress", Any]]:
    """A bar for each thing that is done, and what hides them for a question."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        known: dict[str, Any] = {}

        def progress(doing: str, done: int, total: int | None) -> None:
            if doing not in known:
                bars.start()
                known[doing] = bars.add_task(doing, total=total)
            bars.update(known[doing], completed=done, total=total)

        yield progress, bars.stop
