"""`hindsight evaluate`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.evaluation import Evaluation


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Examples: hindsight evaluate ocr; hindsight evaluate ocr --version 1 --json")(evaluate)


def evaluate(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    version: Annotated[str | None, typer.Option(help="The version; by default the one that serves.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure a version on its task's held-out set, beside the figures in its card. No platform is needed.

    Ends with 1 if a figure differs by more than the tolerance, which is printed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from app import evaluation
    from app.settings import settings

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} samples"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        found = evaluation.evaluate(settings(), task, version, lambda done: progress.update(bar, completed=done))
    if as_json:
        print(json.dumps(evaluation.described(found)))
    else:
        _print_table(found, evaluation.TOLERANCE)
    differing = [one.name for one in found.figures if one.differs]
    if differing:
        print(f"not as the card says: {', '.join(differing)}", file=sys.stderr)
    raise typer.Exit(1 if differing else 0)


def _print_table(found: "Evaluation", tolerance: float) -> None:
    width = max(len(one.name) for one in found.figures)
    print(
        f"{found.model.name} {found.model.version}: {found.samples} samples, a difference of {tolerance:g} is tolerated"
    )
    print(f"{'':<{width}}  {'measured':>10}  {'card':>10}")
    for one in found.figures:
        card = "-" if one.card is None else f"{one.card:.5g}"
        print(f"{one.name:<{width}}  {one.measured:>10.5g}  {card:>10}{'  differs' if one.differs else ''}")
