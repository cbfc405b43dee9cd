"""`hindsight demo ...`."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

demo = typer.Typer(help="Show what the platform does.", no_args_is_help=True)
_LOOP_EXAMPLES = "Examples: hindsight demo loop; hindsight demo loop --out story --seed 1 --json"


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    demo.callback()(_group)
    demo.command(epilog=_LOOP_EXAMPLES)(loop)
    cli.add_typer(demo, name="demo")


def _group() -> None:
    """Show what the platform does."""


def loop(
    task: Annotated[str, typer.Argument(help="The task; ocr has a source that it is bad at.")] = "ocr",
    out: Annotated[Path, typer.Option(help="A new directory: the plot, and the platform's state.")] = Path("demo-loop"),
    seed: Annotated[int, typer.Option(help="Makes the requests, and spoils the version that is to be taken back.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write the story's figures as JSON.")] = False,
) -> None:
    """Show the learning loop run by itself, on a platform of its own, in about 15 minutes on two cores.

    A new source appears that the model is bad at; quality falls, a retraining is triggered, and its candidate comes to
    serve. Then a spoilt version is forced into canary, and taken back. Writes quality.png and quality.html.

    Ends with 1 if less than half of the lost score is regained, or the spoilt version answered more than its share.
    """
    from rich.console import Console

    from app.demo import scenario_plot
    from app.demo.scenario import ScenarioTiming, run_scenario
    from app.errors import SetupError
    from app.settings import settings
    from app.tasks import load_task

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SetupError(f"{out} is there already.", "Name another directory with --out, or remove it.")
    found = load_task(settings(), task)
    if next(found.drifted(seed), None) is None:
        raise SetupError(f"{task} has no source to show that it is bad at.", "Its class may have a method `drifted`.")
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, highlight=False)
    story = asyncio.run(
        run_scenario(settings(), found, out.resolve() / "platform", ScenarioTiming(), seed, console.print)
    )
    png, page = scenario_plot.write_plot(story, out)
    if as_json:
        figures = ("task", "usual", "fallen", "regained", "recovered", "champion", "bad", "bad_answers", "bad_share")
        print(json.dumps({name: getattr(story, name) for name in (*figures, "unanswered", "seconds")}))
    else:
        print(f"{scenario_plot.summarize(story)}\n{png}\n{page}")
    raise typer.Exit(0 if story.is_successful else 1)
