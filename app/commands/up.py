"""`hindsight up` and `hindsight run`: the platform, without and with its demonstration."""

import asyncio
from typing import Annotated

import typer

VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show the whole output of the processes.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command(epilog="Example: hindsight up --only kafka")(up)
    cli.command(epilog="Example: HINDSIGHT_DEMO=0 hindsight run")(run)


def up(
    verbose: VerboseOption = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Start this process of the Procfile only; may be repeated.")
    ] = None,
) -> None:
    """Start the platform and keep it running until Ctrl-C."""
    from app import tasks
    from app.embedded.supervisor import Supervisor
    from app.settings import settings

    tasks.load_tasks(settings())  # report a wrong task once here, rather than in every process
    asyncio.run(Supervisor(settings(), only=only, verbose=verbose).run_until_signal())


def run(verbose: VerboseOption = False) -> None:
    """Start the platform with its demonstration (unless HINDSIGHT_DEMO=0) and keep it running until Ctrl-C."""
    from app.demo import demonstration
    from app.settings import settings

    if settings().demo:
        asyncio.run(demonstration.run(settings(), verbose))
    else:
        up(verbose)
