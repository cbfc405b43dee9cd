"""`hindsight dead-letters ...`: what could not be processed, and its way back after a fix."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.dead_letters.letter import Letter, Wanted
    from app.events.cloudevents import Incoming

letters = typer.Typer(help="List, show and replay what could not be processed.", no_args_is_help=True)

Stage = Annotated[str | None, typer.Option(help="Only of this stage, such as preprocess, inference or feedback.")]
Since = Annotated[str | None, typer.Option(help="Only those rejected since: 2026-01-31 or 2026-01-31T12:00:00Z.")]
Code = Annotated[str | None, typer.Option(help="Only with this kind of reason, such as blob_missing.")]
OfTask = Annotated[str | None, typer.Option("--task", help="Only of this task, such as ocr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, one object a line.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    letters.command("list", epilog="Example: hindsight dead-letters list --stage preprocess --since 2026-01-31")(list_)
    letters.command(epilog="Example: hindsight dead-letters show 4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11 --out it.png")(
        show
    )
    letters.command(epilog="Example: hindsight dead-letters replay --stage preprocess --code blob_missing")(replay)
    cli.add_typer(letters, name="dead-letters")


def list_(
    stage: Stage = None,
    since: Since = None,
    task: OfTask = None,
    code: Code = None,
    limit: Annotated[int, typer.Option(help="The most to list: the newest.", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest last."""
    from app.dead_letters.letter import described

    found = asyncio.run(_find(_wanted((), stage, since, task, code), limit + 1))
    more, found = len(found) > limit, found[-limit:]
    if as_json:
        for letter in found:
            print(json.dumps(described(letter), ensure_ascii=False))
        return
    _print_table(found)
    if more:
        print(f"There are more: --limit {limit} are listed.", file=sys.stderr)


def show(
    letter_id: Annotated[str, typer.Argument(help="The dead letter's id, as `list` and the answer have it.")],
    out: Annotated[Path | None, typer.Option(help="A file to save the payload in.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show all of a dead letter: why, the original's key and headers, and its payload."""
    from app.dead_letters.letter import shown

    letter, original = asyncio.run(_read(letter_id))
    if out is not None:
        out.write_bytes(original.value or b"")
    said = shown(letter, original)
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
    stage: Stage = None,
    since: Since = None,
    task: OfTask = None,
    code: Code = None,
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
    raise typer.Exit(asyncio.run(_replay(_wanted(ids or (), stage, since, task, code), again, dry_run, yes)))


async def _replay(wanted: "Wanted", again: bool, dry_run: bool, yes: bool) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from app.dead_letters import redelivery, store
    from app.settings import settings

    async with store.opened(settings()) as log:
        found = await log.find(wanted)
        _check_known(wanted, found)
        chosen = [letter for letter in found if again or not letter.replayed]
        if left := len(found) - len(chosen):
            print(f"{left} were replayed before and are left out; --again takes them as well.", file=sys.stderr)
        overtaken = await log.earlier(chosen)
        if overtaken:
            print(f"{len(overtaken)} earlier ones go first: feedback of one prediction keeps its order.")
            chosen = sorted([*chosen, *overtaken], key=lambda letter: letter.order)
        redelivery.check_replayable(settings(), chosen)
        for topic in sorted({letter.topic for letter in chosen}):
            print(f"{sum(letter.topic == topic for letter in chosen)} back to {topic}")
        if not chosen or dry_run:
            print("Nothing was replayed.")
            return 0
        if not yes:
            typer.confirm(f"Replay {len(chosen)}?", abort=True)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("replaying", total=len(chosen))
            done = await redelivery.replay(
                settings(), log.originals(chosen), lambda count: progress.advance(bar, count)
            )
    for letter_id, reason in done.refused:
        print(f"{letter_id} is refused: {reason}", file=sys.stderr)
    print(f"{done.published} replayed, {len(done.refused)} refused")
    return 1 if done.refused else 0


def _check_known(wanted: "Wanted", found: "Sequence[Letter]") -> None:
    from app.errors import SetupError

    if missing := sorted(wanted.ids - {letter.id for letter in found}):
        raise SetupError(
            f"There is no such dead letter: {', '.join(missing)}.", "`hindsight dead-letters list` has those there are."
        )


async def _find(wanted: "Wanted", limit: int) -> "list[Letter]":
    from app.dead_letters import store
    from app.settings import settings

    async with store.opened(settings()) as log:
        return await log.find(wanted, limit)


async def _read(letter_id: str) -> "tuple[Letter, Incoming]":
    from app.dead_letters import store
    from app.dead_letters.letter import Wanted
    from app.settings import settings

    wanted = Wanted(frozenset([letter_id]))
    async with store.opened(settings()) as log:
        found = await log.find(wanted)
        _check_known(wanted, found)
        return next(log.originals(found))


def _wanted(ids: Sequence[str], stage: str | None, since: str | None, task: str | None, code: str | None) -> "Wanted":
    from app.dead_letters.letter import Wanted
    from app.replay.query import moment

    return Wanted(frozenset(ids), stage, code, task, None if since is None else moment(since, "--since"))


def _print_table(found: "Sequence[Letter]") -> None:
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
            " ".join(letter.event),
            "?" if letter.replayed is None else str(letter.replayed or ""),
        )
    Console(markup=False).print(table)
