"""`hindsight ...`: the platform from the command line."""

import asyncio
import getpass
import json
import logging
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from app.commands import (
    backtest,
    catalog,
    contract,
    dead_letters,
    demo,
    erase,
    evaluate,
    import_,
    keys,
    logs,
    models,
    new_task,
    replay,
    restart,
    retrain,
    status,
)

if TYPE_CHECKING:
    from app.client import Hindsight

cli = typer.Typer(
    help="Deploys models that keep learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show all that the processes say.")]


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point: what a user can put right is said with its remedy, without a traceback."""
    from app.errors import SetupError

    # The Kafka client logs each failed attempt to connect; what comes of them is said once, by us.
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
    from app.settings import Settings

    if isinstance(error, ClientError):
        _exit_with_error(str(error))
    if isinstance(error, KafkaError):
        _exit_with_error(
            str(error), "Is the platform running? `hindsight up` starts it; HINDSIGHT_KAFKA_BOOTSTRAP says where."
        )
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        wrong = "; ".join(
            ": ".join([*(f"HINDSIGHT_{str(name).upper()}" for name in e["loc"][:1]), e["msg"]]) for e in error.errors()
        )
        _exit_with_error(f"a setting is wrong: {wrong}", "Correct it, or unset it for its default.")


def _exit_with_error(message: str, remedy: str = "") -> NoReturn:
    sys.exit(f"error: {message}\n  Remedy: {remedy}" if remedy else f"error: {message}")


@cli.command(epilog="Example: hindsight up")
def up(verbose: VerboseOption = False) -> None:
    """Start the platform, and stay until Ctrl-C."""
    from app import tasks
    from app.embedded.supervisor import Supervisor
    from app.settings import settings

    tasks.load_tasks(settings())  # what is wrong with them is better said once than by every process
    asyncio.run(Supervisor(settings(), verbose=verbose).run_until_signal())


@cli.command(epilog="Example: HINDSIGHT_DEMO=0 hindsight run")
def run(verbose: VerboseOption = False) -> None:
    """Start the platform with its demonstration (unless HINDSIGHT_DEMO=0), and stay until Ctrl-C."""
    from app.demo import demonstration
    from app.settings import settings

    if settings().demo:
        asyncio.run(demonstration.run(settings(), verbose))
    else:
        up(verbose)


@cli.command(epilog="Example: hindsight send ocr line.png")
def send(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    files: Annotated[list[Path], typer.Argument(help="The payloads.", exists=True, dir_okay=False, readable=True)],
    as_json: JsonOption = False,
    timeout: Annotated[float, typer.Option(help="Longest wait for each answer, in seconds.")] = 60.0,
) -> None:
    """Send files and print their predictions. Ends with 1 if there is a file without one."""
    failed = asyncio.run(_send(task, files, as_json, timeout))
    raise typer.Exit(1 if failed else 0)


async def _send(task: str, files: list[Path], as_json: bool, seconds: float) -> int:
    from mimetypes import guess_type

    from rich.console import Console
    from rich.progress import Progress

    from app.client import PredictionError

    window = asyncio.Semaphore(32)
    failed = 0

    async def one(path: Path) -> None:
        nonlocal failed
        async with window:
            payload = await asyncio.to_thread(path.read_bytes)
            blob = len(payload) > client.max_inline_bytes
            try:
                made = await client.predict(task, payload, seconds, content_type=guess_type(path)[0], blob=blob)
            except PredictionError as error:
                failed += 1
                _print_result(as_json, {"file": str(path)} | error.answer.model_dump(), f"{path}: {error}", error=True)
            except TimeoutError:
                failed += 1
                reason = f"no answer within {seconds:g} s; `hindsight doctor` says what is not ready"
                _print_result(
                    as_json, {"file": str(path), "error": {"reason": reason}}, f"{path}: {reason}", error=True
                )
            else:
                said = made.output.get("text", json.dumps(made.output, ensure_ascii=False))
                line = f"{path}  {said}  confidence {made.confidence:.3f}  {made.timings_ms['total']:.0f} ms"
                _print_result(as_json, {"file": str(path)} | made.model_dump(), f"{line}  {made.prediction_id}")
        progress.advance(bar)

    console = Console(stderr=True)
    # What is printed goes above the bar; but never from a pipe's standard output to the terminal.
    redirect = sys.stdout.isatty()
    hidden = len(files) == 1 or not console.is_terminal
    with Progress(console=console, transient=True, redirect_stdout=redirect, disable=hidden) as progress:
        bar = progress.add_task(task, total=len(files))
        async with _connect() as client:
            results = await asyncio.gather(*map(one, files), return_exceptions=True)
    for result in results:
        if result is not None:
            raise result
    return failed


def _print_result(as_json: bool, found: dict[str, Any], line: str, error: bool = False) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(line, file=sys.stderr if error else sys.stdout)


@cli.command(
    epilog="""Example: hindsight feedback ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11 --correction '{"text": "123"}'"""
)
def feedback(
    prediction_id: Annotated[str, typer.Argument(help="The prediction's id, as `send` prints it.")],
    correction: Annotated[str | None, typer.Option(help="What would have been right, as JSON.")] = None,
    reward: Annotated[float | None, typer.Option(help="How good it was, from -1 to 1.")] = None,
    accepted: Annotated[bool, typer.Option("--accepted", help="It was right.")] = False,
    actor: Annotated[str | None, typer.Option(help="Who says so; by default the user of this computer.")] = None,
) -> None:
    """Correct, reward or accept a prediction."""
    right = _parse_object(correction) if correction is not None else None

    async def give() -> str:
        async with _connect() as client:
            return await client.feedback(
                prediction_id,
                correction=right,
                reward=reward,
                accepted=accepted or None,
                actor=actor or getpass.getuser(),
            )

    print(f"{prediction_id}: feedback {asyncio.run(give())} is in the log")


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint="--correction") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("""a JSON object is needed, such as '{"text": "123"}'""", param_hint="--correction")
    return value


@cli.command(epilog="Example: hindsight batch ocr scans/ --out predictions.parquet")
def batch(
    task: Annotated[str, typer.Argument(help="The task, such as ocr.")],
    sources: Annotated[list[str], typer.Argument(help="Directories, files or blob:// URIs.")],
    out: Annotated[Path, typer.Option(help="The Parquet file of predictions to write.", dir_okay=False)],
    no_log: Annotated[bool, typer.Option("--no-log", help="Keep these predictions out of the event log.")] = False,
) -> None:
    """Predict many payloads at once, into a file with a row for each."""
    from rich.console import Console
    from rich.progress import Progress

    from app.inference import batch as batches
    from app.settings import settings

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        counts = batches.run_batch(
            settings(),
            task,
            sources,
            out,
            log=not no_log,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    print(f"{out}: {counts['predicted']} predicted, {counts['failed']} failed")


@cli.command(epilog="Example: hindsight doctor --json")
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, which settings are in force, and what is not ready."""
    from app.embedded import doctor as doctors
    from app.settings import settings

    raise typer.Exit(doctors.print_report(settings(), as_json))


@cli.command(epilog="Example: HINDSIGHT_KAFKA_BOOTSTRAP=kafka:9092 hindsight topics")
def topics() -> None:
    """Make the topics that are missing, and say how the others differ from what is wanted."""
    from app.events.topics import required_topics
    from app.kafka.provisioning import provision
    from app.settings import settings

    differences = asyncio.run(provision(settings()))
    for line in differences:
        print(line)
    print(f"{len(required_topics(settings()))} topics are there; {len(differences)} differences")


def _connect() -> "Hindsight":
    from app.auth import local_key
    from app.client import Hindsight
    from app.embedded.readiness import api_url
    from app.settings import settings
    from app.system import api_tls

    config = settings()
    return Hindsight(
        config.bootstrap,
        api_url=api_url(config),
        api_key=local_key.load_key(config),
        verify=api_tls.client_verification(config),
        max_payload_bytes=config.max_payload_bytes,
    )


backtest.register(cli)
catalog.register(cli)
dead_letters.register(cli)
demo.register(cli)
erase.register(cli)
evaluate.register(cli)
import_.register(cli)
keys.register(cli)
logs.register(cli)
models.register(cli)
new_task.register(cli)
replay.register(cli)
restart.register(cli)
retrain.register(cli)
status.register(cli)
contract.register(cli)


def entry() -> NoReturn:
    """Run, and leave at once: threads of Arrow's that still read ahead may abort a process that ends in good order."""
    os.umask(os.umask(0) | 0o077)  # payloads, feedback, keys: what a command writes is for its user alone
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
    with suppress(OSError):  # whoever read it may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    entry()
