"""What comes into the log comes into the catalog, by the recorder's agents."""

import asyncio
import time
from pathlib import Path

from app.catalog.store import Catalog
from app.events import RouteChanged
from tests.support.log import Sent, publish
from tests.support.platform import platform_settings, running
from tests.support.records import letter, record

ROUTED = record(RouteChanged(task="letters", action="promote", champion="1", reason="first", actor="us"))


async def test_the_life_of_models_and_dead_letters_come_into_the_catalog(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, tasks={"letters": "tests.support.tasks:Letters"})
    async with running(config, only=("kafka", "recorder")):
        for one in (ROUTED, letter()):
            await publish(config, one.topic, [Sent(one.value, one.key, one.headers)])
        catalog = Catalog(config.database)
        deadline = time.monotonic() + 90
        while not (list(catalog.rows("routes")) and list(catalog.rows("dead_letters"))):
            assert time.monotonic() < deadline, "the catalog doesn't have what is in the log"
            await asyncio.sleep(0.3)
        catalog.close()
