"""`hindsight demo ...`."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.demo.traffic import FeedbackKind
    from app.settings import Settings
    from models.base import Task

demo = typer.Typer(help="Demonstrate the platform.", no_args_is_help=True)
_LOOP_EXAMPLES = "Examples: hindsight demo loop; hindsight demo loop --rewards; hindsight demo loop --out story --json"
_EXPLORED_SHARE = 0.3
"""The share of the outputs that are drawn with --rewards, if the task's options do not say."""


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    demo.callback()(_group)
    demo.command(epilog=_LOOP_EXAMPLES)(loop)
    cli.add_typer(demo, name="demo")


def _group() -> None:
    """Demonstrate the platform."""


def loop(
    task: Annotated[
        str | None, typer.Argument(help="The task; by default the first one with a source on which its model is bad.")
    ] = None,
    out: Annotated[Path, typer.Option(help="A new directory for the plot and the platform.")] = Path("demo-loop"),
    seed: Annotated[int, typer.Option(help="The seed of the requests and of the faulty version.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write the results as JSON.")] = False,
    rewards: Annotated[
        bool, typer.Option("--rewards", help="Nobody corrects: people only say whether an answer is right.")
    ] = False,
) -> None:
    """Run the whole learning loop on a separate platform, in about 15 minutes on two cores.

    A new source appears on which the model is bad. Quality falls, a retraining is triggered, and its candidate becomes
    the champion. Then a faulty version is forced into canary and rolled back. Writes quality.png and quality.html.

    Exit code 1 if less than half of the lost score is regained, or the faulty version answered more than its share.
    """
    from rich.console import Console

    from app.demo import scenario_plot
    from app.demo.scenario import ScenarioTiming, run_scenario
    from app.errors import SetupError
    from app.settings import settings
    from app.tasks import load_task

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SetupError(f"{out} already exists.", "Name another directory with --out, or remove it.")
    config = settings()
    loaded_task = _load_drifting_task(config, task, seed)
    if rewards:
        options = {"explore": _EXPLORED_SHARE} | config.task_options.get(loaded_task.name, {})
        config = config.model_copy(update={"task_options": {**config.task_options, loaded_task.name: options}})
        loaded_task = load_task(config, loaded_task.name)
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, highlight=False)
    feedback: FeedbackKind = "rewards" if rewards else "corrections"
    result = asyncio.run(
        run_scenario(config, loaded_task, out.resolve() / "platform", ScenarioTiming(), seed, console.print, feedback)
    )
    png, page = scenario_plot.write_plot(result, out)
    if as_json:
        print(json.dumps(result.to_json()))
    else:
        print(f"{scenario_plot.summarize(result)}\n{png}\n{page}")
    raise typer.Exit(0 if result.is_successful else 1)


def _load_drifting_task(config: "Settings", name: str | None, seed: int) -> "Task":
    from app.errors import SetupError
    from app.tasks import load_task

    for candidate in config.tasks if name is None else [name]:
        task = load_task(config, candidate)
        if next(task.drifted(seed), None) is not None:
            return task
    problem = "No task has a source" if name is None else f"{name} has no source"
    raise SetupError(f"{problem} on which its model is bad.", "Add a method `drifted` to its class.")
