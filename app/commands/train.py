"""`hindsight train`."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.arguments import TaskArgument


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight replay ocr --out log && hindsight train ocr --dataset log --out candidate")(
        train
    )


def train(
    task: TaskArgument,
    dataset: Annotated[Path, typer.Option(help="A directory that `hindsight replay` wrote.")],
    out: Annotated[Path, typer.Option(help="The directory of model.onnx and card.json to write.")],
    parent: Annotated[
        str | None, typer.Option(help="The version to start from; by default the newest shipped one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, dataset and parent give the same model.")] = 0,
) -> None:
    """Fit a version to a dataset, as a retraining run does, without a gate. Nothing is registered.

    No platform is needed, but for a parent that is in its registry alone. `hindsight models register` registers the
    model with its card. Ends with 1 if there is nothing to learn from.
    """
    from rich.console import Console

    from app.errors import SetupError
    from app.registry.artifacts import version_path
    from app.settings import settings
    from app.tasks import load_task
    from models import training
    from models.base import Untrainable
    from models.training_command import progress, write

    loaded_task = load_task(settings(), task)
    number, path = version_path(settings(), loaded_task, parent)
    console = Console(stderr=True)
    try:
        with progress(console) as on_step:
            trained = training.train(loaded_task, dataset, path, seed, on_step)
    except Untrainable as error:
        raise SetupError(
            f"{task} can't be trained on {dataset}.", f"{error} A dataset: hindsight replay {task} --out DIR"
        ) from error
    command = f"hindsight train {task} --dataset {dataset} --parent {number} --seed {seed} --out {out}"
    written = write(trained, out, command, path)
    console.print_json(data=trained.card.get("figures", {}))
    print(f"wrote {written} and {out / 'card.json'}")
    files = f"{written} --card {out / 'card.json'}"
    print(f"Register it: hindsight models register {task} {files} --parent {number}")
