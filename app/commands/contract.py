"""`hindsight schemas`, `asyncapi` and `dictionary`: the contract for readers and writers of events."""

from pathlib import Path
from typing import Annotated

import typer

OutOption = Annotated[Path | None, typer.Option(help="The file to write; by default it is printed.", dir_okay=False)]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command(epilog="Example: hindsight schemas --out schemas")(schemas)
    cli.command(epilog="Example: hindsight asyncapi --out asyncapi.json")(asyncapi)
    cli.command(epilog="Example: hindsight dictionary --out docs/events.md")(dictionary)


def schemas(out: Annotated[Path, typer.Option(help="The directory to write to.", file_okay=False)]) -> None:
    """Write the JSON Schema of each event type."""
    from app.contract import json_schemas

    print(f"{out}: {len(json_schemas.write_schemas(out))} schemas")


def asyncapi(out: OutOption = None) -> None:
    """Write this deployment's AsyncAPI 3 document: its topics and their events."""
    import json

    from app import tasks
    from app.contract.asyncapi import build_document
    from app.settings import settings

    document = build_document(settings(), tasks.load_tasks(settings()))
    _write(json.dumps(document, indent=2, ensure_ascii=False), out)


def dictionary(out: OutOption = None) -> None:
    """Write the data dictionary: the archive's columns, and each event type's fields."""
    from app.contract import data_dictionary

    _write(data_dictionary.render_markdown().rstrip(), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
