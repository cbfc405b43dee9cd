"""`hindsight evaluate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    version: Annotated[str | None, typer.Option(help="The version; by default the one that serves.")] = None,
    off_policy: Annotated[
        Path | None, typer.Option("--off-policy", help="Instead: what it would have earned on this dataset's choices.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="With --off-policy: the version to compare; by default the one that serves.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure a version on its task's held-out set, beside the figures in its card. No platform is needed.

    Ends with 1 if a figure differs by more than the tolerance, which is printed.

    With --off-policy its value is estimated from a log of choices with their propensities and rewards (`hindsight
    replay`), beside another version's, with 95 % intervals and what speaks against trusting them.
    """
    if off_policy is not None:
        _evaluate_off_policy(task, off_policy, version, against, as_json)
        return
    if against is not None:
        raise typer.BadParameter("--against goes with --off-policy DATASET")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from app.evaluation import held_out
    from app.settings import settings

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} samples"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        found = held_out.evaluate(settings(), task, version, lambda done: progress.update(bar, completed=done))
    if as_json:
        print(json.dumps(held_out.to_json(found)))
    else:
        _print_table(found, held_out.TOLERANCE)
    differing = [one.name for one in found.metrics if one.differs_from_card]
    if differing:
        print(f"not as the card says: {', '.join(differing)}", file=sys.stderr)
    raise typer.Exit(1 if differing else 0)


def _print_table(found: "Evaluation", tolerance: float) -> None:
    width = max(len(one.name) for one in found.metrics)
    print(
        f"{found.model.name} {found.model.version}: {found.samples} samples, a difference of {tolerance:g} is tolerated"
    )
    print(f"{'':<{width}}  {'measured':>10}  {'card':>10}")
    for one in found.metrics:
        card = "-" if one.card_value is None else f"{one.card_value:.5g}"
        print(f"{one.name:<{width}}  {one.measured:>10.5g}  {card:>10}{'  differs' if one.differs_from_card else ''}")


def _evaluate_off_policy(task: str, dataset: Path, version: str | None, against: str | None, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from app.evaluation import off_policy as valuation
    from app.settings import settings

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading", total=None)

        def on_step(doing: str, step: int, steps: int | None) -> None:
            progress.update(bar, description=doing, completed=step, total=steps)

        found = valuation.compare_off_policy(settings(), task, dataset, version, against, on_step)
    if as_json:
        print(json.dumps(valuation.to_json(found)))
    else:
        _print_off_policy(found)


def _print_off_policy(found: "OffPolicyComparison") -> None:
    logged = found.version_value.logged
    print(f"{len(logged.influence)} logged choices earned {_format_interval(logged)} each")
    heads = (f"{found.task} {found.version}", f"{found.task} {found.against}", "difference")
    print(f"{'':<10}" + "".join(f"  {head:>27}" for head in heads))
    for name, *estimates in found.rows:
        print(f"{name:<10}" + "".join(f"  {_format_interval(one):>27}" for one in estimates))
    for number, valued in {found.version: found.version_value, found.against: found.against_value}.items():
        print(f"{found.task} {number}: as good as {valued.effective_decisions:.0f} choices of its own")
        for doubt in valued.doubts:
            print(f"  in doubt: {doubt}")


def _format_interval(one: "Estimate") -> str:
    low, high = one.interval()
    return f"{one.value:.4f} [{low:.4f}, {high:.4f}]"
