"""`hindsight schemas`, `asyncapi` and `dictionary`: the vocabulary, for who reads or writes events."""

from pathlib import Path
from typing import Annotated

import typer

OutOption = Annotated[Path | None, typer.Option(help="The file to write; by default it is printed.", dir_okay=False)]


def register(cli: typer.Typer) -> None:
    """Add these commands."""
    cli.command(epilog="Example: hindsight schemas --out schemas")(schemas)
    cli.command(epilog="Example: hindsight asyncapi --out asyncapi.json")(asyncapi)
    cli.command(epilog="Example: hindsight dictionary --out docs/events.md")(dictionary)


def schemas(out: Annotated[Path, typer.Option(help="The directory to write to.", file_okay=False)]) -> None:
    """Write the JSON Schema of each event type."""
    from app.contract import json_schemas as events

    print(f"{out}: {len(events.write_schemas(out))} schemas")


def asyncapi(out: OutOption = None) -> None:
    """Write this deployment's AsyncAPI 3 document: its topics, and what is said on them."""
    import json

    from app import tasks
    from app.contract import asyncapi as api
    from app.settings import settings

    document = api.build_document(settings(), tasks.load_tasks(settings()))
    _write(json.dumps(document, indent=2, ensure_ascii=False), out)


def dictionary(out: OutOption = None) -> None:
    """Write the data dictionary: the archive's columns, and each event type's fields."""
    from app.contract import data_dictionary as events

    _write(events.render_markdown().rstrip(), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
