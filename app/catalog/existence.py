"""The existence of the catalog when the recorder starts."""

import logging

from app.backoff import retry
from app.catalog.catalog import Catalog
from app.errors import Unavailable
from app.settings import Settings

log = logging.getLogger(__name__)


async def ensure_catalog(settings: Settings) -> None:
    """Return once there is a catalog: rebuild a lost one from the log, however long that takes.

    With an empty catalog the recorder would record outcomes without the feedback before.
    """
    catalog = Catalog(settings.catalog_url)

    async def rebuild_if_missing() -> None:
        if not catalog.exists():
            # Few starts need what reads the archive, which takes a second and 60 MiB to import.
            from app.catalog.rebuild import rebuild

            log.info("there is no catalog: making it from the log")
            done = await rebuild(settings, catalog)
            log.info("the catalog is made of %d records", done.records)

    try:
        await retry(rebuild_if_missing, (Unavailable,), log, "the recorder waits for the catalog")
    finally:
        catalog.close()
