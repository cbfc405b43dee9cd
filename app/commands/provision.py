"""`hindsight provision`: what the processes of a deployment share."""

import asyncio
import logging
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.settings import Settings

log = logging.getLogger(__name__)

START_SECONDS = 180.0
"""How long it waits for a server: all of a deployment may start at once."""


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: HINDSIGHT_KAFKA_BOOTSTRAP=kafka:9092 hindsight provision")(provision)


def provision() -> None:
    """Create the topics, the blob storage and the catalog, and migrate the catalog.

    It waits for their servers. It may run at any time: what is there already stays.
    """
    from app.events.topics import required_topics
    from app.settings import settings

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    for difference in asyncio.run(provision_all(settings())):
        print(difference)
    print(f"{len(required_topics(settings()))} topics, the blob storage and the catalog are there")


async def provision_all(config: "Settings", start_seconds: float = START_SECONDS) -> list[str]:
    """Create what is missing. Return how existing topics differ from the required ones. Raises SetupError."""
    from app.backoff import retry
    from app.catalog.catalog import Catalog
    from app.catalog.existence import ensure_catalog
    from app.embedded import broker
    from app.errors import SetupError
    from app.kafka.provisioning import provision as provision_topics
    from app.storage.blob_store import blob_store

    async def prepare_blobs() -> None:
        await asyncio.to_thread(blob_store(config).prepare)

    try:
        async with asyncio.timeout(start_seconds):
            await retry(prepare_blobs, (SetupError,), log, "the blob storage is not there yet")
    except TimeoutError:
        await prepare_blobs()  # raises the reason
    if not await broker.wait(config, start_seconds):
        raise SetupError(
            f"No Kafka broker answers at {config.bootstrap} after {start_seconds:.0f} s.",
            "Check HINDSIGHT_KAFKA_BOOTSTRAP and the security settings, and that this machine can reach the cluster.",
        )
    differences = await provision_topics(config)
    await ensure_catalog(config)
    catalog = Catalog(config.catalog_url)
    try:
        await asyncio.to_thread(catalog.upgrade)
    finally:
        catalog.close()
    return differences
