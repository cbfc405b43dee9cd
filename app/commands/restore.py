"""`hindsight restore`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.settings import Settings


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: hindsight restore && hindsight up")(restore)


def restore(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """After the loss of Kafka, restore versions, champions and runs from the archive, and rebuild the catalog.

    Run it before the platform starts on the new, empty cluster. The embedded broker is started for it if need be.
    """
    from app.settings import settings

    restored, catalog = asyncio.run(_restore(settings()))
    if as_json:
        print(json.dumps({"restored": restored, "catalog_records": catalog}))
    else:
        print(f"{restored} events restored; the catalog is rebuilt from {catalog} records")


async def _restore(settings: "Settings") -> tuple[int, int]:
    """Return how many events were restored, and how many records the catalog was rebuilt from."""
    from app.catalog.catalog import Catalog
    from app.catalog.rebuild import rebuild
    from app.eventlog.restore import restore_lifecycle
    from app.kafka.provisioning import provision

    catalog = Catalog(settings.catalog_url)
    try:
        async with _broker(settings):
            await provision(settings)
            restored = await restore_lifecycle(settings)
            return restored, (await rebuild(settings, catalog)).records
    finally:
        catalog.close()


@asynccontextmanager
async def _broker(settings: "Settings") -> AsyncIterator[None]:
    """Start the embedded broker for the block, unless there is another one or it runs already."""
    from aiokafka.errors import KafkaError
    from rich.console import Console

    from app.embedded.supervisor import Supervisor
    from app.kafka import clients

    try:
        async with clients.open_admin(settings):
            is_running = True
    except KafkaError:
        is_running = not settings.embedded_kafka  # your own cluster: what follows says what is wrong
    if is_running:
        yield
        return
    broker = Supervisor(settings, only=("kafka",), console=Console(stderr=True))
    await broker.start()
    try:
        yield
    finally:
        await broker.stop()
