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
    out: Annotated[Path | None, typer.Option(help="The directory to write the dataset to.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Requests from this time on (ce_time).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Requests before this time (ce_time).")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Only events that were in the log at this time; by default now.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="An SQL condition on the columns of a row.")] = None,
    content: Annotated[str, typer.Option(help="The content of rows: features, payload or nothing.")] = "features",
    to_topic: Annotated[str | None, typer.Option(help="Publish the requests again, to this topic.")] = None,
    speed: Annotated[str, typer.Option(help="With --to-topic: faster than the original, such as 10x.")] = "1x",
    rate: Annotated[float, typer.Option(min=0.001, help="With --to-topic: at most so many events a second.")] = 1000.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --to-topic: don't ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --to-topic: print the plan only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the manifest as JSON.")] = False,
) -> None:
    """Build a point-in-time dataset from a task's history, or publish that history to a topic again.

    The same arguments over the same log always make the same dataset, with the same content hash.
    """
    from app.replay.query import ReplayQuery
    from app.settings import settings

    if (out is None) == (to_topic is None):
        raise typer.BadParameter("give either --out DIR or --to-topic TOPIC")
    query = ReplayQuery.from_options(
        settings(),
        task,
        since=since,
        until=until,
        as_of=as_of,
        where=where,
        content=content if out else "nothing",
    )
    if out is not None:
        _write_dataset(query, out, as_json)
        return
    from app.replay import republish

    assert to_topic is not None
    republish_rate = republish.RepublishRate(_parse_speed(speed), rate)
    with progress_bars() as (progress, hide_bars):

        def confirm(plan: "RepublishPlan") -> bool:
            hide_bars()
            print(f"{plan.requests} requests go to {to_topic}, in {_format_duration(plan.duration_seconds)}.")
            return not dry_run and (yes or typer.confirm("Publish them?"))

        count = republish.republish(settings(), query, to_topic, republish_rate, confirm, progress)
    print(f"{count} requests were published")


def _write_dataset(query: "ReplayQuery", out: Path, as_json: bool) -> None:
    from app.replay.replay import replay as build_dataset
    from app.settings import settings

    with progress_bars() as (progress, _):
        manifest = build_dataset(settings(), query, out, progress)
    if as_json:
        print(json.dumps(manifest))
        return
    print(f"{out}: {manifest['rows']} rows {manifest['splits']}, content hash {manifest['content_hash']}")
    for kind, counts in manifest["counts"].items():
        left_out = {**counts["skipped"], **counts["rejected"]}
        print(f"  {kind:<11} {counts['read']:>9} read  {counts['rows']:>9} in rows  {_format_reasons(left_out)}")
    if manifest["without_content"]:
        print(f"  rows without {query.content}: {_format_reasons(manifest['without_content'])}")


def _parse_speed(speed: str) -> float:
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise typer.BadParameter(f"{speed!r} is not a valid speed: use 10x, 0.5x or inf", param_hint="--speed")
    return factor


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=math.ceil(seconds)))


def _format_reasons(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items())


@contextmanager
def progress_bars() -> Iterator[tuple["ReplayProgress", Any]]:
    """Show one progress bar per step. Yield the progress callback, and a function that hides the bars for a prompt."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar_ids: dict[str, Any] = {}

        def progress(step: str, done: int, total: int | None) -> None:
            if step not in bar_ids:
                bars.start()
                bar_ids[step] = bars.add_task(step, total=total)
            bars.update(bar_ids[step], completed=done, total=total)

        yield progress, bars.stop
