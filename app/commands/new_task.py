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
    directory: Annotated[Path, typer.Option(help="The parent of its folder.", file_okay=False)] = Path("models"),
) -> None:
    """Create a task that runs at once, for you to change: its class, lines, trainer, model and tests.

    Print the setting that adds it to the configured tasks.
    """
    from app.settings import settings
    from app.templates import scaffold

    tasks = settings().tasks
    task = scaffold.create_task(name, directory, tasks)
    print(f"{task.folder} is created. Continue with the section 'Add a task' of CONTRIBUTING.md.", file=sys.stderr)
    if task.python_path is not None:
        print(f"export PYTHONPATH={shlex.quote(str(task.python_path))}${{PYTHONPATH:+:$PYTHONPATH}}")
    print(f"export HINDSIGHT_TASKS={shlex.quote(json.dumps(tasks | {name: task.class_path}))}")
