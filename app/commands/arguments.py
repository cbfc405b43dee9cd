"""Arguments that several commands have."""

from contextlib import suppress
from typing import Annotated

import typer


def complete_task(incomplete: str) -> list[str]:
    """Return the tasks whose names begin with this text, for the shell's completion."""
    from app.settings import settings

    with suppress(ValueError):  # the settings are not valid: the command itself says so
        return sorted(task for task in settings().tasks if task.startswith(incomplete))
    return []


TaskArgument = Annotated[str, typer.Argument(help="The task, such as ocr.", autocompletion=complete_task)]
