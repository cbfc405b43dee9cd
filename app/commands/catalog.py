"""`hindsight rebuild`."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight rebuild")(rebuild)


def rebuild(as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")] = False) -> None:
    """Drop the catalog and rebuild it from the event log. The platform may run meanwhile: writers wait."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from app.catalog import rebuild as catalog_rebuild
    from app.catalog.catalog import Catalog
    from app.errors import SetupError, Unavailable
    from app.settings import settings

    catalog, console = Catalog(settings().catalog_url), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} records"))
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
            bars = {
                topic: progress.add_task(topic, total=None) for topic in catalog_rebuild.projected_topics(settings())
            }
            result = asyncio.run(
                catalog_rebuild.rebuild(settings(), catalog, lambda topic, count: progress.advance(bars[topic], count))
            )
        digests = catalog_rebuild.digest_tables(catalog)
    except Unavailable as error:
        raise SetupError(f"{error}.", "Try again once the database is writable. The catalog is unchanged.") from error
    finally:
        catalog.close()
    for table, digest in digests.items():
        if as_json:
            print(json.dumps({"table": table} | asdict(digest)))
        else:
            print(f"{table:<14} {digest.rows:>10} rows")
    print(json.dumps(asdict(result)) if as_json else f"{result.records} records read, {result.unreadable} unreadable")
