"""`hindsight replay`."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.arguments import TaskArgument

if TYPE_CHECKING:
    from app.replay.query import ReplayQuery
    from app.replay.republish import RepublishPlan
    from app.replay.selection import ReplayProgress

_EXAMPLES = """Examples: hindsight replay ocr --out september --from 2026-09-01 --to 2026-10-01;
hindsight replay ocr --out today --from -1d;
hindsight replay ocr --out sure --where "confidence > 0.9 AND label IS NOT NULL" --as-of 2026-10-01T12:00:00Z;
hindsight replay ocr --to-topic rehearsal --from 2026-09-01 --speed 10x"""


_REASONS = {
    "out_of_range": "outside of --from and --to",
    "no_request": "of requests outside of --from and --to",
    "no_row": "of predictions that are in no row",
    "where": "that --where leaves out",
    "unanswered": "without an answer",
    "failed": "failures to predict",
    "repeated": "repetitions",
    "replay": "of history that was published again",
    "partial": "of streams in progress",
    "chunk": "chunks of streams",
    "other_preprocess_version": "of another preprocess version",
    "retracted": "that were retracted",
}
"""What the records of a reason are; of others the reason is plain enough."""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(replay)


def replay(
    task: TaskArgument,
    out: Annotated[Path | None, typer.Option(help="The directory to write the dataset to.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Requests from this time on (ce_time): 2026-01-31, yesterday, -1d.")
    ] = None,
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
    splits = ", ".join(f"{split} {count}" for split, count in manifest["splits"].items())
    rows = f"{manifest['rows']} rows" + (f" ({splits})" if splits else "")
    print(f"{out}: {rows}, content hash {manifest['content_hash']}")
    for kind, counts in manifest["counts"].items():
        left_out = {**counts["skipped"], **counts["rejected"]}
        reasons = f"; left out: {_format_reasons(left_out)}" if left_out else ""
        print(f"  {kind:<11} {counts['read']:>9} read, {counts['rows']:>9} in rows{reasons}")
    if note := range_note(manifest):
        print(note, file=sys.stderr)
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
    return ", ".join(f"{count} {_REASONS.get(reason, reason.replace('_', ' '))}" for reason, count in counts.items())


def range_note(manifest: dict[str, Any]) -> str:
    """Return what a dataset's range has to do with the log, if the log has no request in a part of it; else ""."""
    arguments, first, last = manifest["arguments"], manifest["requests"]["first"], manifest["requests"]["last"]
    since, until = (datetime.fromisoformat(arguments[name] or "9999-12-31T00:00Z") for name in ("from", "to"))
    if first is None:
        return f"The log has no requests of {arguments['task']}."
    if until <= datetime.fromisoformat(first):
        return f"The range ends before the log begins: its first request of {arguments['task']} is of {first}."
    if arguments["from"] is None:
        return ""
    if since > datetime.fromisoformat(last):
        return f"The range begins after the log's last request of {arguments['task']}, which is of {last}."
    if since < datetime.fromisoformat(first):
        return f"The log has no requests of {arguments['task']} before {first}."
    return ""


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
