"""`hindsight dead-letters ...`: list, show and replay records that could not be processed."""

import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter
    from app.events.cloudevents import ConsumedRecord

dead_letters = typer.Typer(help="List, show and replay records that could not be processed.", no_args_is_help=True)

StageOption = Annotated[str | None, typer.Option(help="Only this stage, such as preprocess, inference or feedback.")]
SinceOption = Annotated[
    str | None, typer.Option(help="Only rejections since this time: 2026-01-31 or 2026-01-31T12:00:00Z.")
]
CodeOption = Annotated[str | None, typer.Option(help="Only this code, such as blob_missing.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="Only this task, such as ocr.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    dead_letters.command("list", epilog="Example: hindsight dead-letters list --stage preprocess --since 2026-01-31")(
        list_
    )
    dead_letters.command(
        epilog="Example: hindsight dead-letters show 4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11 --out it.png"
    )(show)
    dead_letters.command(epilog="Example: hindsight dead-letters replay --stage preprocess --code blob_missing")(replay)
    cli.add_typer(dead_letters, name="dead-letters")


def list_(
    stage: StageOption = None,
    since: SinceOption = None,
    task: TaskOption = None,
    code: CodeOption = None,
    limit: Annotated[int, typer.Option(help="List only so many, the newest.", min=1)] = 100,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the newest last."""
    from app.dead_letters.letter import to_json

    letters = asyncio.run(_find(_build_filter((), stage, since, task, code), limit + 1))
    more, letters = len(letters) > limit, letters[-limit:]
    if as_json:
        for letter in letters:
            print(json.dumps(to_json(letter), ensure_ascii=False))
        return
    _print_letters(letters)
    if not letters:
        print("There are no such dead letters.")
    if more:
        print(f"There are more dead letters: increase --limit {limit} to list them.", file=sys.stderr)


def show(
    letter_id: Annotated[str, typer.Argument(help="The dead letter's id, from `list` or the answer.")],
    out: Annotated[Path | None, typer.Option(help="The file to save the payload in.", dir_okay=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter: the reason, the original's key and headers, and its payload."""
    from app.dead_letters.letter import to_detailed_json

    letter, original = asyncio.run(_read(letter_id))
    if out is not None:
        out.write_bytes(original.value or b"")
    fields = to_detailed_json(letter, original)
    if as_json:
        print(json.dumps(fields, ensure_ascii=False))
        return
    headers = fields.pop("headers")
    for name, value in fields.items():
        print(f"{name:<10} {value}")
    for name, value in headers:
        print(f"header     {name}: {value}")


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    stage: StageOption = None,
    since: SinceOption = None,
    task: TaskOption = None,
    code: CodeOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also replay those that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be replayed; replay nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Publish dead letters again, unchanged, to the topics that they came from. Exit code 1 if any is refused."""
    from app.errors import SetupError

    if not ids and (stage, since, task, code) == (None, None, None, None):
        raise SetupError(
            "No dead letters are selected.",
            "Name their ids, or select them with --stage, --since, --task or --code.",
        )
    letter_filter = _build_filter(ids or (), stage, since, task, code)
    raise typer.Exit(asyncio.run(_redeliver(letter_filter, again, dry_run, yes)))


async def _redeliver(letter_filter: "DeadLetterFilter", again: bool, dry_run: bool, yes: bool) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from app.dead_letters import redelivery, store
    from app.settings import settings

    async with store.open_dead_letters(settings()) as log:
        matching = await log.find(letter_filter)
        _check_all_found(letter_filter, matching)
        letters = [letter for letter in matching if again or not letter.redeliveries]
        if left_out := len(matching) - len(letters):
            print(f"{left_out} were replayed before and are left out; --again includes them.", file=sys.stderr)
        earlier = await log.find_earlier_feedback(letters)
        if earlier:
            print(f"{len(earlier)} earlier ones go first: feedback of one prediction keeps its order.")
            letters = sorted([*letters, *earlier], key=lambda letter: letter.sort_key)
        redelivery.check_redeliverable(settings(), letters)
        for topic in sorted({letter.topic for letter in letters}):
            print(f"{sum(letter.topic == topic for letter in letters)} back to {topic}")
        if not letters or dry_run:
            print("Nothing was replayed.")
            return 0
        if not yes:
            typer.confirm(f"Replay {len(letters)}?", abort=True)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("replaying", total=len(letters))
            result = await redelivery.redeliver(
                settings(), log.read_originals(letters), lambda count: progress.advance(bar, count)
            )
    for letter_id, reason in result.refused:
        print(f"{letter_id} is refused: {reason}", file=sys.stderr)
    print(f"{result.redelivered} replayed, {len(result.refused)} refused")
    return 1 if result.refused else 0


def _check_all_found(letter_filter: "DeadLetterFilter", letters: "Sequence[DeadLetterEntry]") -> None:
    from app.errors import SetupError

    if missing := sorted(letter_filter.ids - {letter.id for letter in letters}):
        raise SetupError(
            f"There is no such dead letter: {', '.join(missing)}.", "List them with `hindsight dead-letters list`."
        )


async def _find(letter_filter: "DeadLetterFilter", limit: int) -> "list[DeadLetterEntry]":
    from app.dead_letters import store
    from app.settings import settings

    async with store.open_dead_letters(settings()) as log:
        return await log.find(letter_filter, limit)


async def _read(letter_id: str) -> "tuple[DeadLetterEntry, ConsumedRecord]":
    from app.dead_letters import store
    from app.dead_letters.letter import DeadLetterFilter
    from app.settings import settings

    letter_filter = DeadLetterFilter(frozenset([letter_id]))
    async with store.open_dead_letters(settings()) as log:
        letters = await log.find(letter_filter)
        _check_all_found(letter_filter, letters)
        return next(log.read_originals(letters))


def _build_filter(
    ids: Sequence[str], stage: str | None, since: str | None, task: str | None, code: str | None
) -> "DeadLetterFilter":
    from app.dead_letters.letter import DeadLetterFilter
    from app.replay.query import parse_time

    return DeadLetterFilter(frozenset(ids), stage, code, task, None if since is None else parse_time(since, "--since"))


def _print_letters(letters: "Sequence[DeadLetterEntry]") -> None:
    """Print a paragraph for each letter, as wide as the terminal; its first line has the whole id."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for letter in letters:
        print("\n".join(format_letter(letter, width)))


def format_letter(letter: "DeadLetterEntry", width: int) -> list[str]:
    """Return the lines of a dead letter. Words, such as ids, stay whole even if they are wider than the terminal."""
    from app.dead_letters.letter import format_redeliveries

    logged = letter.logged.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    source, event_id = letter.event_identity
    origin = [f"from {letter.topic}, partition {letter.partition}, offset {letter.offset}"]
    origin += [f"event {event_id} of {source}", format_redeliveries(letter)]
    lines = [f"{letter.id}  {logged}"]
    for text in (f"{letter.stage}: {letter.code}: {letter.reason}", "; ".join(filter(None, origin))):
        lines += textwrap.wrap(
            text, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return lines
