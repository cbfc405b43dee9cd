"""`hindsight evaluate`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.arguments import TaskArgument

if TYPE_CHECKING:
    from app.evaluation.held_out import Evaluation
    from app.evaluation.off_policy import OffPolicyComparison
    from models.base import OnStep
    from models.off_policy import Estimate

_EXAMPLES = """Examples: hindsight evaluate ocr; hindsight evaluate ocr --version 1 --json;
hindsight replay decision --out log && hindsight evaluate decision --off-policy log --version 2 --against 1 --over-time;
hindsight evaluate ocr --outcomes log --version 2 --against 1 --by request_source"""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(evaluate)


def evaluate(
    task: TaskArgument,
    version: Annotated[str | None, typer.Option(help="The version; by default the one that serves.")] = None,
    off_policy: Annotated[
        Path | None, typer.Option("--off-policy", help="Estimate its reward on this dataset's choices instead.")
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="Score it on this dataset's audited labels instead.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="With a dataset: the version to compare; by default the one that serves.")
    ] = None,
    over_time: Annotated[bool, typer.Option("--over-time", help="With a dataset: compare over time, too.")] = False,
    by: Annotated[
        list[str] | None, typer.Option(help="With a dataset: compare by this column, too, such as request_source.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure a version on its task's held-out set and compare it with its card. No platform is needed.

    Exit code 1 if a metric differs by more than the tolerance, which is printed.

    With --off-policy, estimate its value and another version's from logged choices with propensities and rewards
    (`hindsight replay`), with 95 % intervals and reasons to doubt them. With --outcomes, compare their scores on the
    labels of the audit. Both use rows that neither version learned from, and say which.
    """
    if off_policy is not None and outcomes is not None:
        raise typer.BadParameter("choose one of --off-policy and --outcomes")
    if off_policy is not None:
        _evaluate_off_policy(task, off_policy, version, against, by or [], over_time, as_json)
        return
    if outcomes is not None:
        _evaluate_outcomes(task, outcomes, version, against, by or [], over_time, as_json)
        return
    if against is not None or over_time or by:
        raise typer.BadParameter("--against, --over-time and --by need --off-policy DATASET or --outcomes DATASET")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from app.evaluation import held_out
    from app.settings import settings

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} samples"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        evaluation = held_out.evaluate(settings(), task, version, lambda done: progress.update(bar, completed=done))
    if as_json:
        print(json.dumps(held_out.to_json(evaluation)))
    else:
        _print_table(evaluation, held_out.TOLERANCE)
    differing = [metric.name for metric in evaluation.metrics if metric.differs_from_card]
    if differing:
        print(f"differs from the card: {', '.join(differing)}", file=sys.stderr)
    raise typer.Exit(1 if differing else 0)


def _print_table(evaluation: "Evaluation", tolerance: float) -> None:
    model, metrics = evaluation.model, evaluation.metrics
    width = max(len(metric.name) for metric in metrics)
    print(f"{model.name} {model.version}: {evaluation.samples} samples, tolerance {tolerance:g}")
    print(f"{'':<{width}}  {'measured':>10}  {'card':>10}")
    for metric in metrics:
        card = "-" if metric.card_value is None else f"{metric.card_value:.5g}"
        mark = "  differs" if metric.differs_from_card else ""
        print(f"{metric.name:<{width}}  {metric.measured:>10.5g}  {card:>10}{mark}")


@contextmanager
def _steps() -> Iterator["OnStep"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading", total=None)
        yield lambda step, done, total: progress.update(bar, description=step, completed=done, total=total)


def _evaluate_off_policy(
    task: str, dataset: Path, version: str | None, against: str | None, by: list[str], over_time: bool, as_json: bool
) -> None:
    from app.commands.comparison_table import print_comparison
    from app.evaluation import off_policy
    from app.settings import settings

    with _steps() as on_step:
        values = off_policy.compare_off_policy(settings(), task, dataset, version, against, on_step)
    divided = values.divided(by, over_time) if by or over_time else None
    if as_json:
        parts = {} if divided is None else {"comparison": divided.model_dump(mode="json")}
        print(json.dumps(off_policy.to_json(values) | parts))
        return
    _print_off_policy(values)
    if divided is not None:
        print()
        print_comparison(divided, f"{task} {values.pair.version}", f"{task} {values.pair.against}")


def _evaluate_outcomes(
    task: str, dataset: Path, version: str | None, against: str | None, by: list[str], over_time: bool, as_json: bool
) -> None:
    from app.commands.comparison_table import print_comparison
    from app.evaluation.outcome_comparison import compare_outcomes
    from app.settings import settings

    with _steps() as on_step:
        scores = compare_outcomes(settings(), task, dataset, version, against, on_step)
    divided, pair = scores.divided(by, over_time), scores.pair
    if as_json:
        versions = {"version": pair.version, "against": pair.against}
        print(
            json.dumps(
                {"task": task, "rows": pair.rows_used, **versions, "comparison": divided.model_dump(mode="json")}
            )
        )
        return
    audit = scores.audit
    print(f"{len(scores.outcomes)} audited outcomes; {audit.answered} of {audit.selected} are answered")
    print(f"rows: {pair.rows_used}")
    print_comparison(divided, f"{task} {pair.version}", f"{task} {pair.against}")


def _print_off_policy(comparison: "OffPolicyComparison") -> None:
    from app.commands.comparison_table import UNITS

    task, version, against = comparison.pair.task.name, comparison.pair.version, comparison.pair.against
    value = comparison.version_value
    units = UNITS[value.unit]
    print(f"{value.count} logged {units} earned {_format_interval(value.logged)} each: {comparison.pair.rows_used}")
    headings = (f"{task} {version}", f"{task} {against}", "difference")
    print(f"{'':<10}" + "".join(f"  {heading:>27}" for heading in headings))
    for name, *estimates in comparison.rows:
        print(f"{name:<10}" + "".join(f"  {_format_interval(estimate):>27}" for estimate in estimates))
    for number, value in {version: comparison.version_value, against: comparison.against_value}.items():
        print(f"{task} {number}: effective sample size {value.effective_decisions:.0f} {units}")
        for doubt in value.doubts:
            print(f"  in doubt: {doubt}")
        for name, doubt in value.estimator_doubts.items():
            print(f"  {name} in doubt: {doubt}")
    if comparison.difference_doubt:
        print(f"difference in doubt: {comparison.difference_doubt}")


def _format_interval(estimate: "Estimate") -> str:
    low, high = estimate.interval()
    return f"{estimate.value:.4f} [{low:.4f}, {high:.4f}]"
