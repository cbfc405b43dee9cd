"""`hindsight restore`."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.settings import Settings


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight restore && hindsight up")(restore)


def restore(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """After the loss of Kafka, restore versions, champions and runs from the archive, and rebuild the catalog.

    Run it before the platform starts on the new, empty cluster. The embedded broker is started for it.
    """
    from app.settings import settings

    restored, catalog = asyncio.run(_restore(settings()))
    if as_json:
        print(json.dumps({"restored": restored, "catalog_records": catalog}))
    else:
        print(f"{restored} events restored; the catalog is rebuilt from {catalog} records")


async def _restore(settings: "Settings") -> tuple[int, int]:
    """Return how many events were restored, and how many records the catalog was rebuilt from."""
    from rich.console import Console

    from app.catalog.catalog import Catalog
    from app.catalog.rebuild import rebuild
    from app.embedded.supervisor import Supervisor
    from app.eventlog.restore import restore_lifecycle
    from app.kafka.provisioning import provision

    broker = Supervisor(settings, only=("kafka",), console=Console(stderr=True)) if settings.embedded_kafka else None
    catalog = Catalog(settings.catalog_url)
    try:
        if broker is not None:
            await broker.start()
        await provision(settings)
        restored = await restore_lifecycle(settings)
        return restored, (await rebuild(settings, catalog)).records
    finally:
        catalog.close()
        if broker is not None:
            await broker.stop()
