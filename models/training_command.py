"""Shared parts of `python -m models.<task>.train`: options, progress, a version's folder."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.base import OnStep, Trained, Untrainable
from models.manifest import write_version

OutOption = Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")]
SeedOption = Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")]
DatasetOption = Annotated[Path | None, typer.Option(help="A directory that `hindsight replay` wrote.")]
ParentOption = Annotated[Path | None, typer.Option(help="The model.onnx to start from, with --dataset.")]


def run(module: str, fit: Callable[[OnStep], Trained], out: Path, options: Mapping[str, object]) -> None:
    """Fit a version, write it to `out`, and print its figures.

    The card records the command: `module` with the options that are not None. Ends with 1 if there is nothing to learn.
    """
    console = Console(stderr=True)
    with progress(console) as on_step:
        try:
            trained = fit(on_step)
        except Untrainable as error:
            sys.exit(f"error: {error}")
    given = {name: value for name, value in {**options, "out": out}.items() if value is not None}
    path = write(
        trained, out, " ".join([f"python -m {module}", *(f"--{name} {value}" for name, value in given.items())])
    )
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {path} and {out / 'card.json'}")


@contextmanager
def progress(console: Console) -> Iterator[OnStep]:
    """Show a bar of how far a training is."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as bars:
        bar = bars.add_task("starting", total=None)
        yield lambda what, done, of: bars.update(bar, description=what, completed=done, total=of)


def write(trained: Trained, out: Path, command: str, parent: Path | None = None) -> Path:
    """Write a version's files and `card.json` into the folder `out`, whose name is the version; return its path.

    `parent` is the path of the version that it was trained from.
    """
    path = write_version(out, trained.model, trained.files, parent)
    card = {"version": out.name, "created by command": command, **trained.card}
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return path
