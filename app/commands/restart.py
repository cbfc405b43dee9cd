"""`hindsight restart PROCESS`: make the supervisor end a process and start it again."""

import time
from typing import Annotated

import typer

TIMEOUT_SECONDS = 60.0


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight restart preprocess")
    def restart(process: Annotated[str, typer.Argument(help="The process, as `hindsight status` names it.")]) -> None:
        """Restart a process. It reads unfinished records again, so nothing is lost."""
        from app.commands.status import read_running_status
        from app.embedded import status
        from app.errors import SetupError
        from app.settings import settings

        home = settings().home
        pids = {running.name: running.pid for running in read_running_status(home).processes}
        if process not in pids:
            raise SetupError(f"The platform has no process {process!r}.", f"Name one of {', '.join(pids)}.")
        status.request_restart(home, process)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.2)
            new_pids = {running.name: running.pid for running in read_running_status(home).processes}
            pid = new_pids.get(process)
            if pid not in (None, pids[process]):
                print(f"{process}: restarted as process {pid}")
                return
        raise SetupError(
            f"{process} has not restarted after {TIMEOUT_SECONDS:.0f} s.", f"See `hindsight logs {process}`."
        )
