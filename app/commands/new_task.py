"""`hindsight new-task`."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("new-task", epilog="Example: hindsight new-task mood")(new_task)


def new_task(
    name: Annotated[str, typer.Argument(help="The task's name, such as mood: a to z, 0 to 9 and _.")],
    directory: Annotated[Path, typer.Option(help="Where its folder goes.", file_okay=False)] = Path("models"),
) -> None:
    """Write a task that runs at once, to be made your own: its class, lines, trainer, model and tests.

    Prints the setting that adds it to the tasks that there are.
    """
    from app.settings import settings
    from app.templates import scaffold

    tasks = settings().tasks
    made = scaffold.create_task(name, directory, tasks)
    print(f"{made.folder} is written; the section 'Add a task' of CONTRIBUTING.md goes on from here.", file=sys.stderr)
    if made.python_path is not None:
        print(f"export PYTHONPATH={shlex.quote(str(made.python_path))}${{PYTHONPATH:+:$PYTHONPATH}}")
    print(f"export HINDSIGHT_TASKS={shlex.quote(json.dumps(tasks | {name: made.class_path}))}")
