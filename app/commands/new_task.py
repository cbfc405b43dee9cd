"""`hindsight new-task`."""

import json
import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.templates.foreign.hints import Hints
    from app.templates.scaffold import CreatedTask

_EXAMPLES = """Examples: hindsight new-task mood; hindsight new-task signs --from signs.onnx --labels signs.txt;
hindsight new-task beans --from folder/of/the/hub --licence Apache-2.0"""


class Kind(StrEnum):
    """What a foreign model does."""

    CTC = "ctc"
    DETECTION = "detection"
    CLASSIFICATION = "classification"
    SEQ2SEQ = "seq2seq"
    BANDIT = "bandit"


class Channels(StrEnum):
    """The order of a picture's channels."""

    RGB = "RGB"
    BGR = "BGR"


class Resize(StrEnum):
    """How a picture gets the model's size."""

    STRETCH = "stretch"
    PAD = "pad"
    CROP = "crop"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("new-task", epilog=_EXAMPLES)(new_task)


def new_task(
    name: Annotated[str, typer.Argument(help="The task's name, such as mood: a to z, 0 to 9 and _.")],
    directory: Annotated[Path, typer.Option(help="The parent of its folder.", file_okay=False)] = Path("models"),
    source: Annotated[
        Path | None, typer.Option("--from", help="An ONNX file, or a folder of the Hugging Face Hub.", exists=True)
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="What the model does; by default it is guessed.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Its classes or symbols: a line for each, or JSON.")] = None,
    columns: Annotated[Path | None, typer.Option(help="The names of its numbers: a line for each, or JSON.")] = None,
    size: Annotated[str | None, typer.Option(help="Of its pictures: HEIGHTxWIDTH, such as 224x224.")] = None,
    channels: Annotated[Channels | None, typer.Option(help="Of its pictures.")] = None,
    resize: Annotated[Resize | None, typer.Option(help="How its pictures get their size.")] = None,
    scale: Annotated[float | None, typer.Option(help="It takes (level * scale - mean) / std.")] = None,
    mean: Annotated[str | None, typer.Option(help="One for each channel, such as 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="One for each channel, such as 0.5,0.5,0.5.")] = None,
    sample: Annotated[list[Path] | None, typer.Option(help="A real input; may be repeated.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, as an SPDX identifier.")] = None,
) -> None:
    """Create a task that runs at once, for you to change: its class, lines, trainer, model and tests.

    With --from, the task serves this model. What the command reads from the model, and what it assumes because the
    model does not say it, is printed and written into the files; the other options set it.

    Print the setting that adds it to the configured tasks.
    """
    from app.settings import settings
    from app.templates import scaffold

    tasks = settings().tasks
    if source is None:
        task = scaffold.create_task(name, directory, tasks)
        print(f"{task.folder} is created. Continue with the section 'Add a task' of CONTRIBUTING.md.", file=sys.stderr)
    else:
        task = _create_foreign(
            name,
            directory,
            source,
            kind,
            _hints(labels, columns, size, channels, resize, scale, mean, std, licence),
            sample or [],
        )
    if task.python_path is not None:
        print(f"export PYTHONPATH={shlex.quote(str(task.python_path))}${{PYTHONPATH:+:$PYTHONPATH}}")
    print(f"export HINDSIGHT_TASKS={shlex.quote(json.dumps(tasks | {name: task.class_path}))}")


def _create_foreign(
    name: str, directory: Path, source: Path, kind: Kind | None, hints: "Hints", samples: list[Path]
) -> "CreatedTask":
    """Create the task of a model, and say what it is made of."""
    from app.settings import settings
    from app.templates.foreign.creation import create_foreign_task

    task, model, design = create_foreign_task(name, directory, settings().tasks, source, kind, hints, samples)
    print(f"{model}, opset {model.opset}", file=sys.stderr)
    for note in design.notes.known:
        print(f"known    {note}", file=sys.stderr)
    for note in design.notes.assumed:
        print(f"assumed  {note}", file=sys.stderr)
    print(f"{task.folder} is created. Check what is assumed, then run: pytest {task.folder}", file=sys.stderr)
    return task


def _hints(
    labels: Path | None,
    columns: Path | None,
    size: str | None,
    channels: Channels | None,
    resize: Resize | None,
    scale: float | None,
    mean: str | None,
    std: str | None,
    licence: str | None,
) -> "Hints":
    from app.templates.foreign.hints import Hints, read_labels

    return Hints(
        labels=read_labels(labels) if labels else None,
        columns=read_labels(columns) if columns else None,
        size=_size(size),
        channels=channels and channels.value,
        resize=resize and resize.value,
        scale=scale,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        licence=licence,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if match is None:
        raise typer.BadParameter(f"--size is {text!r}: HEIGHTxWIDTH is needed, such as 224x224")
    return int(match[1]), int(match[2])


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{option} is {text!r}: numbers are needed, such as 0.5,0.5,0.5") from None
