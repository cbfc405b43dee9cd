"""`hindsight evaluate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.arguments import TaskArgument

if TYPE_CHECKING:
    from app.evaluation.held_out import Evaluation
    from app.evaluation.off_policy import OffPolicyComparison
    from models.off_policy import Estimate

_EXAMPLES = """Examples: hindsight evaluate ocr; hindsight evaluate ocr --version 1 --json;
hindsight replay decision --out log && hindsight evaluate decision --off-policy log --version 2 --against 1"""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog=_EXAMPLES)(evaluate)


def evaluate(
    task: TaskArgument,
    version: Annotated[str | None, typer.Option(help="The version; by default the one that serves.")] = None,
    off_policy: Annotated[
        Path | None, typer.Option("--off-policy", help="Estimate its reward on this dataset's choices instead.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="With --off-policy: the version to compare; by default the one that serves.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure a version on its task's held-out set and compare it with its card. No platform is needed.

    Exit code 1 if a metric differs by more than the tolerance, which is printed.

    With --off-policy, estimate its value and another version's from logged choices with propensities and rewards
    (`hindsight replay`), with 95 % intervals and reasons to doubt them.
    """
    if off_policy is not None:
        _evaluate_off_policy(task, off_policy, version, against, as_json)
        return
    if against is not None:
        raise typer.BadParameter("--against needs --off-policy DATASET")
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


def _evaluate_off_policy(task: str, dataset: Path, version: str | None, against: str | None, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from app.evaluation import off_policy
    from app.settings import settings

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading", total=None)

        def on_step(step: str, done: int, total: int | None) -> None:
            progress.update(bar, description=step, completed=done, total=total)

        comparison = off_policy.compare_off_policy(settings(), task, dataset, version, against, on_step)
    if as_json:
        print(json.dumps(off_policy.to_json(comparison)))
    else:
        _print_off_policy(comparison)


def _print_off_policy(comparison: "OffPolicyComparison") -> None:
    task, version, against = comparison.task, comparison.version, comparison.against
    value = comparison.version_value
    units = {"decision": "choices", "slate": "slates", "episode": "episodes"}[value.unit]
    print(f"{value.count} logged {units} earned {_format_interval(value.logged)} each, in rows of the split test")
    headings = (f"{task} {version}", f"{task} {against}", "difference")
    print(f"{'':<10}" + "".join(f"  {heading:>27}" for heading in headings))
    for name, *estimates in comparison.rows:
        print(f"{name:<10}" + "".join(f"  {_format_interval(estimate):>27}" for estimate in estimates))
    for number, value in {version: comparison.version_value, against: comparison.against_value}.items():
        print(f"{task} {number}: effective sample size {value.effective_decisions:.0f} {units}")
        for doubt in value.doubts:
            print(f"  in doubt: {doubt}")
    if comparison.difference_doubt:
        print(f"difference in doubt: {comparison.difference_doubt}")


def _format_interval(estimate: "Estimate") -> str:
    low, high = estimate.interval()
    return f"{estimate.value:.4f} [{low:.4f}, {high:.4f}]"
