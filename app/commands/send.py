"""`hindsight send TASK FILES`: predictions of files."""

import asyncio
import json
import sys
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.arguments import TaskArgument

if TYPE_CHECKING:
    from app.client import Hindsight

MAX_IN_FLIGHT = 32


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight send ocr line.png")(send)


def send(
    task: TaskArgument,
    files: Annotated[list[Path], typer.Argument(help="The payloads.", exists=True, dir_okay=False, readable=True)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Write whole predictions as JSON, one object a line.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Longest wait for each answer, in seconds.")] = 60.0,
) -> None:
    """Send files and print their predictions, the first line of each text. Ends with 1 if a file has no prediction."""
    failed = asyncio.run(_send_all(task, files, as_json, timeout))
    raise typer.Exit(1 if failed else 0)


async def _send_all(task: str, files: list[Path], as_json: bool, seconds: float) -> int:
    """Send the files and print their predictions. Return the count of files without one."""
    from rich.console import Console
    from rich.progress import Progress

    from app.commands.client import check_same_log, create_client

    slots = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def send_file(path: Path) -> bool:
        async with slots:
            predicted = await _send_one(client, task, path, as_json, seconds)
        progress.advance(bar)
        return predicted

    console = Console(stderr=True)
    # Predictions are printed above the bar, but standard output to a pipe must not go to the terminal.
    redirect = sys.stdout.isatty()
    hidden = len(files) == 1 or not console.is_terminal
    with Progress(console=console, transient=True, redirect_stdout=redirect, disable=hidden) as progress:
        bar = progress.add_task(task, total=len(files))
        async with create_client() as client:
            if any(path.stat().st_size > client.max_inline_bytes for path in files):
                await asyncio.to_thread(check_same_log)  # they go through the API's blob storage
            results = await asyncio.gather(*map(send_file, files), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results.count(False)


async def _send_one(client: "Hindsight", task: str, path: Path, as_json: bool, seconds: float) -> bool:
    """Send a file and print its prediction, or the reason why there is none. Return whether it was predicted."""
    from app.client import PredictionError, first_line

    payload = await asyncio.to_thread(path.read_bytes)
    blob = len(payload) > client.max_inline_bytes
    try:
        answer = await client.predict(task, payload, seconds, content_type=guess_type(path)[0], blob=blob)
    except PredictionError as error:
        _print_result(as_json, {"file": str(path)} | error.answer.model_dump(), f"{path}: {error}", sys.stderr)
    except TimeoutError:
        reason = f"no answer within {seconds:g} s; `hindsight doctor` says what is not ready"
        _print_result(as_json, {"file": str(path), "error": {"reason": reason}}, f"{path}: {reason}", sys.stderr)
    else:
        text = answer.output.get("text")
        text = first_line(text) if isinstance(text, str) else json.dumps(answer.output, ensure_ascii=False)
        line = f"{path}  {text}  confidence {answer.confidence:.3f}  {answer.timings_ms['total']:.0f} ms"
        _print_result(as_json, {"file": str(path)} | answer.model_dump(), f"{line}  {answer.prediction_id}", sys.stdout)
        return True
    return False


def _print_result(as_json: bool, document: dict[str, Any], line: str, stream: Any) -> None:
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        print(line, file=stream)
