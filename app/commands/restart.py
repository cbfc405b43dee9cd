"""`hindsight restart PROCESS`: the supervisor ends a process and starts it again."""

import time
from typing import Annotated

import typer

TIMEOUT_SECONDS = 60.0


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight restart preprocess")
    def restart(process: Annotated[str, typer.Argument(help="The process, as `hindsight status` names it.")]) -> None:
        """Start a process again. What it was working on it reads again: nothing is lost."""
        from app.commands.status import read_running_status
        from app.embedded import status
        from app.errors import SetupError
        from app.settings import settings

        home = settings().home
        names = {one.name: one.pid for one in read_running_status(home).processes}
        if process not in names:
            raise SetupError(f"The platform runs no {process}.", f"Name one of {', '.join(names)}.")
        status.request_restart(home, process)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.2)
            pid = {one.name: one.pid for one in read_running_status(home).processes}.get(process)
            if pid not in (None, names[process]):
                print(f"{process}: process {pid}, started again")
                return
        raise SetupError(f"{process} is not back after {TIMEOUT_SECONDS:.0f} s.", f"See `hindsight logs {process}`.")
