"""`hindsight backtest`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.replay import progress_bars

if TYPE_CHECKING:
    from app.events.model_events import Backtest, BacktestSpan
    from app.settings import Settings
    from models.base import Task

_EXAMPLES = """Examples: hindsight backtest ocr 2; hindsight backtest ocr 2 --from 2026-10-01 --to 2026-11-01 --json;
hindsight replay ocr --out october && hindsight backtest ocr 2 --dataset october"""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(backtest)


def backtest(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    version: Annotated[str, typer.Argument(help="The version's number, as `hindsight models list` prints it.")],
    since: Annotated[str | None, typer.Option("--from", help="Requests from this time on (ce_time).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Requests before this time (ce_time).")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Only what was in the log by then; by default, now.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Instead: a directory that `hindsight replay` wrote.", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Run a version over the replayed history of a task, and compare it with what was served.

    Scores are of outcomes that were to be looked at anyhow, each weighted by the inverse of its selection probability,
    and that the version has not learned from: those of the split `test`, and all since its retraining run began.
    """
    from app.errors import SetupError
    from app.evaluation.backtest import backtest as backtested
    from app.registry.artifacts import version_path
    from app.replay.query import ReplayQuery
    from app.replay.replay import temporary_dataset
    from app.settings import settings
    from app.tasks import load_task
    from models.base import Untrainable

    if dataset is not None and (since or until or as_of):
        raise typer.BadParameter("a dataset has its own --from, --to and --as-of: leave these out, or --dataset")
    found, (number, path) = load_task(settings(), task), version_path(settings(), load_task(settings(), task), version)
    new_since = _unlearned_since(settings(), found, number)
    try:
        with progress_bars() as (progress, _):
            if dataset is not None:
                said = backtested(found, path, dataset, progress, new_since=new_since)
            else:
                arguments = ReplayQuery.from_options(settings(), task, since=since, until=until, as_of=as_of)
                with temporary_dataset(settings(), arguments, progress) as (directory, _):
                    said = backtested(found, path, directory, progress, new_since=new_since)
    except Untrainable as error:
        raise SetupError(str(error), f"Make one anew: hindsight replay {task} --out DIR") from error
    print(said.model_dump_json()) if as_json else _print_backtest(f"{task} {number}", said)


def _unlearned_since(settings: "Settings", task: "Task", number: str) -> datetime | None:
    """From when on no request was learned from by a version; None where nobody knows.

    What a task's folder has was made without the log; of one that the registry has, its run says it.
    """
    import asyncio

    from app.registry.shipped import shipped_versions
    from app.registry.subscription import read_registry

    if number in shipped_versions(task):
        return datetime.min.replace(tzinfo=UTC)
    models = asyncio.run(read_registry(settings, [task])).tasks[task.name]
    registered = models.version(number).registration
    run = models.runs.get((registered and registered.run_id) or "")
    return None if run is None else run.time


def _print_backtest(name: str, backtest: "Backtest") -> None:
    print(f"{name}, beside what was served:")
    print(
        f"{'from':<19}  {'rows':>7}  {'unanswered':>10}  {'agreement':>9}  {'outcomes':>8}  {'score':>6}  {'served':>6}"
    )
    for span in backtest.spans:
        print(_span_line(f"{span.start:%Y-%m-%d %H:%M:%S}", span))
    print(_span_line("all", backtest))
    if backtest.difference is not None and backtest.interval is not None:
        low, high = backtest.interval
        print(f"The score changes by {backtest.difference:+.4f}, at 95 % between {low:+.4f} and {high:+.4f}.")
    else:
        print("No outcome can be compared: the audit's labels are needed, in the split test or since it was trained.")


def _span_line(first: str, span: "BacktestSpan") -> str:
    figures = ("-" if one is None else f"{one:.4f}" for one in (span.agreement, span.score, span.score_served))
    agreement, score, served = figures
    return _table_line(first, str(span.rows), str(span.unanswered), agreement, str(span.outcomes), score, served)


def _table_line(first: str, rows: str, unanswered: str, agreement: str, outcomes: str, score: str, served: str) -> str:
    return f"{first:<19}  {rows:>7}  {unanswered:>10}  {agreement:>9}  {outcomes:>8}  {score:>6}  {served:>6}"
