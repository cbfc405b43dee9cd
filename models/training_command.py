"""What `python -m models.<task>.train` has in common for all tasks: progress on the terminal, a version's folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.base import OnStep, Trained


@contextmanager
def shown(console: Console, doing: str) -> Iterator[OnStep]:
    """A bar that shows how far a training is; `doing` stands beside it until the training says more."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task(doing, total=None)
        yield lambda what, done, of: progress.update(bar, description=what, completed=done, total=of)


def write(trained: Trained, out: Path, command: str) -> None:
    """`model.onnx` and `card.json` in the folder `out`, whose name is the version."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(trained.model)
    card = {"version": out.name, "created by command": command, **trained.card}
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
