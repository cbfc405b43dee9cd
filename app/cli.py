"""`hindsight ...`: the platform from the command line. The commands are in `app.commands`."""

import logging
import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from app.commands import (
    backtest,
    batch,
    catalog,
    client,
    contract,
    dead_letters,
    demo,
    doctor,
    erase,
    evaluate,
    feedback,
    import_,
    keys,
    logs,
    models,
    new_task,
    provision,
    replay,
    restart,
    restore,
    retrain,
    send,
    status,
    topics,
    train,
    up,
)

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hindsight {version('hindsight')}")
        raise typer.Exit


@cli.callback()
def common_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Deploys models that keep learning."""


# In the order of `hindsight --help`.
for module in (up, send, feedback, batch, doctor, topics):
    module.register(cli)
for module in (backtest, catalog, client, dead_letters, demo, erase, evaluate, import_, keys, logs, models, new_task):
    module.register(cli)
for module in (provision, replay, restart, restore, retrain, status, train, contract):
    module.register(cli)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command. An error that the user can fix is printed with its remedy, without a traceback."""
    from app.errors import SetupError

    # The Kafka client logs each failed attempt to connect; we print the resulting error once.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    try:
        cli(arguments)
    except SetupError as error:
        _exit_with_error(error.message, error.remedy)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        _exit_on_known_error(error)
        raise
    sys.exit(0)


def _exit_on_known_error(error: Exception) -> None:
    # Imported only now: each of these modules is slow to load.
    from aiokafka.errors import KafkaError
    from pydantic import ValidationError

    from app.client import ClientError
    from app.errors import Unavailable
    from app.settings import Settings

    if isinstance(error, ClientError | Unavailable):
        _exit_with_error(str(error))
    if isinstance(error, KafkaError):
        _exit_with_error(
            str(error), "Is the platform running? Start it with `hindsight up`, or set HINDSIGHT_KAFKA_BOOTSTRAP."
        )
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        reasons = "; ".join(
            ": ".join([*(f"HINDSIGHT_{str(name).upper()}" for name in e["loc"][:1]), e["msg"]]) for e in error.errors()
        )
        _exit_with_error(f"a setting is not valid: {reasons}", "Correct it, or unset it to use its default.")


def _exit_with_error(message: str, remedy: str = "") -> NoReturn:
    sys.exit(f"error: {message}\n  Remedy: {remedy}" if remedy else f"error: {message}")


def entry() -> NoReturn:
    """Run, and leave at once: Arrow's read-ahead threads may abort a process that ends normally."""
    os.umask(os.umask(0) | 0o077)  # files of commands hold payloads, feedback and keys: only the user may read them
    code: int | str | None = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    with suppress(OSError):  # the reader of a pipe may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    entry()
