"""`hindsight backtest`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.arguments import TaskArgument
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
    task: TaskArgument,
    version: Annotated[str, typer.Argument(help="The version's number, as `hindsight models list` prints it.")],
    since: Annotated[str | None, typer.Option("--from", help="Requests from this time on (ce_time).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Requests before this time (ce_time).")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Only events that were in the log at this time; by default now.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Use this dataset of `hindsight replay` instead.", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Run a version over the replayed history of a task, and compare it with the served predictions.

    Scores use only outcomes of the audit sample, weighted by inverse selection probability, that the version was not
    trained on: those of the split `test`, and all since its retraining run began.
    """
    from app.errors import SetupError
    from app.evaluation.backtest import backtest as run_backtest
    from app.registry.artifacts import version_path
    from app.replay.query import ReplayQuery
    from app.replay.replay import temporary_dataset
    from app.settings import settings
    from app.tasks import load_task
    from models.base import Untrainable

    if dataset is not None and (since or until or as_of):
        raise typer.BadParameter("a dataset has its own --from, --to and --as-of: omit them, or omit --dataset")
    loaded_task = load_task(settings(), task)
    number, path = version_path(settings(), loaded_task, version)
    unseen_since = _unseen_since(settings(), loaded_task, number)
    try:
        with progress_bars() as (progress, _):
            if dataset is not None:
                result = run_backtest(loaded_task, path, dataset, progress, new_since=unseen_since)
            else:
                query = ReplayQuery.from_options(settings(), task, since=since, until=until, as_of=as_of)
                with temporary_dataset(settings(), query, progress) as (directory, _):
                    result = run_backtest(loaded_task, path, directory, progress, new_since=unseen_since)
    except Untrainable as error:
        raise SetupError(str(error), f"Build a new dataset: hindsight replay {task} --out DIR") from error
    print(result.model_dump_json()) if as_json else _print_backtest(f"{task} {number}", result)


def _unseen_since(settings: "Settings", task: "Task", number: str) -> datetime | None:
    """Return the time from which on a version was trained on no request; None if it is unknown.

    Shipped versions were trained without the log. For a registered version it is the start of its run.
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
    from app.outcomes.audit import AnsweredShare
    from app.settings.gate import MIN_ANSWERED_SHARE

    print(f"{name}, compared with the served predictions:")
    print(
        f"{'from':<19}  {'rows':>7}  {'unanswered':>10}  {'agreement':>9}  {'outcomes':>8}  {'score':>6}  {'served':>6}"
    )
    for span in backtest.spans:
        print(_span_line(f"{span.start:%Y-%m-%d %H:%M:%S}", span))
    print(_span_line("all", backtest))
    if backtest.difference is not None and backtest.interval is not None:
        low, high = backtest.interval
        print(f"The score changes by {backtest.difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}.")
    else:
        print("No outcome can be compared: label audited predictions of the split test, or since the training.")
    if refusal := AnsweredShare(backtest.answered or 0, backtest.selected or 0).refusal(MIN_ANSWERED_SHARE):
        print(f"{refusal} Only a stretch of time with enough answers is compared.")


def _span_line(first: str, span: "BacktestSpan") -> str:
    values = (span.agreement, span.score, span.score_served)
    agreement, score, served = ("-" if value is None else f"{value:.4f}" for value in values)
    return _table_line(first, str(span.rows), str(span.unanswered), agreement, str(span.outcomes), score, served)


def _table_line(first: str, rows: str, unanswered: str, agreement: str, outcomes: str, score: str, served: str) -> str:
    return f"{first:<19}  {rows:>7}  {unanswered:>10}  {agreement:>9}  {outcomes:>8}  {score:>6}  {served:>6}"
