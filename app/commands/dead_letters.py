"""`hindsight dead-letters ...`: what could not be processed, and its way back after a fix."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter
    from app.events.cloudevents import ConsumedRecord

dead_letters = typer.Typer(help="List, show and replay what could not be processed.", no_args_is_help=True)

StageOption = Annotated[str | None, typer.Option(help="Only of this stage, such as preprocess, inference or feedback.")]
SinceOption = Annotated[str | None, typer.Option(help="Only those rejected since: 2026-01-31 or 2026-01-31T12:00:00Z.")]
CodeOption = Annotated[str | None, typer.Option(help="Only with this kind of reason, such as blob_missing.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="Only of this task, such as ocr.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]


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
    limit: Annotated[int, typer.Option(help="The most to list: the newest.", min=1)] = 100,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the newest last."""
    from app.dead_letters.letter import to_json

    found = asyncio.run(_find(_build_query((), stage, since, task, code), limit + 1))
    more, found = len(found) > limit, found[-limit:]
    if as_json:
        for letter in found:
            print(json.dumps(to_json(letter), ensure_ascii=False))
        return
    _print_table(found)
    if more:
        print(f"There are more: --limit {limit} are listed.", file=sys.stderr)


def show(
    letter_id: Annotated[str, typer.Argument(help="The dead letter's id, as `list` and the answer have it.")],
    out: Annotated[Path | None, typer.Option(help="A file to save the payload in.", dir_okay=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show all of a dead letter: why, the original's key and headers, and its payload."""
    from app.dead_letters.letter import to_detailed_json

    letter, original = asyncio.run(_read(letter_id))
    if out is not None:
        out.write_bytes(original.value or b"")
    said = to_detailed_json(letter, original)
    if as_json:
        print(json.dumps(said, ensure_ascii=False))
        return
    headers = said.pop("headers")
    for name, what in said.items():
        print(f"{name:<10} {what}")
    for name, what in headers:
        print(f"header     {name}: {what}")


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    stage: StageOption = None,
    since: SinceOption = None,
    task: TaskOption = None,
    code: CodeOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed, and replay nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Publish dead letters again, as they were, to the topics that they came from. Ends with 1 if any is refused."""
    from app.errors import SetupError

    if not ids and (stage, since, task, code) == (None, None, None, None):
        raise SetupError(
            "Nothing says which dead letters to replay.",
            "Name their ids, or choose them with --stage, --since, --task or --code.",
        )
    raise typer.Exit(asyncio.run(_redeliver(_build_query(ids or (), stage, since, task, code), again, dry_run, yes)))


async def _redeliver(wanted: "DeadLetterFilter", again: bool, dry_run: bool, yes: bool) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from app.dead_letters import redelivery, store
    from app.settings import settings

    async with store.open_dead_letters(settings()) as log:
        found = await log.find(wanted)
        _check_all_found(wanted, found)
        chosen = [letter for letter in found if again or not letter.redeliveries]
        if left := len(found) - len(chosen):
            print(f"{left} were replayed before and are left out; --again takes them as well.", file=sys.stderr)
        overtaken = await log.find_earlier_feedback(chosen)
        if overtaken:
            print(f"{len(overtaken)} earlier ones go first: feedback of one prediction keeps its order.")
            chosen = sorted([*chosen, *overtaken], key=lambda letter: letter.sort_key)
        redelivery.check_redeliverable(settings(), chosen)
        for topic in sorted({letter.topic for letter in chosen}):
            print(f"{sum(letter.topic == topic for letter in chosen)} back to {topic}")
        if not chosen or dry_run:
            print("Nothing was replayed.")
            return 0
        if not yes:
            typer.confirm(f"Replay {len(chosen)}?", abort=True)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("replaying", total=len(chosen))
            done = await redelivery.redeliver(
                settings(), log.read_originals(chosen), lambda count: progress.advance(bar, count)
            )
    for letter_id, reason in done.refused:
        print(f"{letter_id} is refused: {reason}", file=sys.stderr)
    print(f"{done.redelivered} replayed, {len(done.refused)} refused")
    return 1 if done.refused else 0


def _check_all_found(wanted: "DeadLetterFilter", found: "Sequence[DeadLetterEntry]") -> None:
    from app.errors import SetupError

    if missing := sorted(wanted.ids - {letter.id for letter in found}):
        raise SetupError(
            f"There is no such dead letter: {', '.join(missing)}.", "`hindsight dead-letters list` has those there are."
        )


async def _find(wanted: "DeadLetterFilter", limit: int) -> "list[DeadLetterEntry]":
    from app.dead_letters import store
    from app.settings import settings

    async with store.open_dead_letters(settings()) as log:
        return await log.find(wanted, limit)


async def _read(letter_id: str) -> "tuple[DeadLetterEntry, ConsumedRecord]":
    from app.dead_letters import store
    from app.dead_letters.letter import DeadLetterFilter
    from app.settings import settings

    wanted = DeadLetterFilter(frozenset([letter_id]))
    async with store.open_dead_letters(settings()) as log:
        found = await log.find(wanted)
        _check_all_found(wanted, found)
        return next(log.read_originals(found))


def _build_query(
    ids: Sequence[str], stage: str | None, since: str | None, task: str | None, code: str | None
) -> "DeadLetterFilter":
    from app.dead_letters.letter import DeadLetterFilter
    from app.replay.query import parse_time

    return DeadLetterFilter(frozenset(ids), stage, code, task, None if since is None else parse_time(since, "--since"))


def _print_table(found: "Sequence[DeadLetterEntry]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("id", "logged", "stage", "code", "reason", "from", "event", "replayed"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for letter in found:
        table.add_row(
            letter.id,
            letter.logged.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00"),
            letter.stage,
            letter.code,
            letter.reason,
            f"{letter.topic}/{letter.partition}/{letter.offset}",
            " ".join(letter.event_identity),
            "?" if letter.redeliveries is None else str(letter.redeliveries or ""),
        )
    Console(markup=False).print(table)
