"""What comes into the log comes into the catalog, by the recorder's agents; a catalog that is lost is made again."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.catalog.catalog import Catalog
from app.catalog.rebuild import TableDigest, digest_tables
from app.errors import Unavailable
from app.events.model_events import RouteChanged
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.platform import platform_settings, read_pids, run_processes
from tests.support.record_strategies import make_dead_letter, make_record
from tests.support.request_history import RequestHistory

ROUTED = make_record(RouteChanged(task="letters", action="promote", champion="1", reason="first", actor="us"))
RECORDS = [ROUTED, make_dead_letter(), RequestHistory(1).prediction_record(), RequestHistory(1).feedback_record(1)]


@pytest.mark.soak
async def test_all_of_the_log_comes_into_the_catalog_and_again_when_that_is_lost(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, tasks={"letters": "tests.support.tasks:Letters"})
    async with run_processes(config, only=("kafka", "recorder")):
        for one in RECORDS:
            await publish(config, one.topic, [OutgoingRecord(one.value, one.key, one.headers)])
        tables = {"route_changes", "dead_letters", "predictions", "feedback", "outcomes"}
        before = await filled(config, tables)
        os.kill(read_pids(config)["recorder"], signal.SIGKILL)  # its supervisor starts it again
        for file in (tmp_path / "home").glob("catalog.sqlite*"):
            file.unlink()
        assert await filled(config, tables) == before
        more = RequestHistory(1).feedback_record(2, after_seconds=2, correction={"sum": 3.0}, actor="bob")
        await publish(config, more.topic, [OutgoingRecord(more.value, more.key, more.headers)])
        assert (await outcome_of(config, feedback=2))["contradicted"]


async def filled(config: Settings, tables: set[str], seconds: float = 120) -> dict[str, TableDigest]:
    """What the catalog holds, once it has rows in these tables."""
    deadline = time.monotonic() + seconds
    found: dict[str, TableDigest] = {}
    while True:
        with suppress(Unavailable):
            found = await asyncio.to_thread(_digests, config)
            if all(found[table].rows for table in tables):
                return found
        assert time.monotonic() < deadline, f"the catalog doesn't have what is in the log: {found}"
        await asyncio.sleep(0.3)


async def outcome_of(config: Settings, feedback: int, seconds: float = 120) -> dict[str, Any]:
    """The outcome of the prediction, once it counts so much feedback."""
    deadline = time.monotonic() + seconds
    catalog = Catalog(config.catalog_url)
    try:
        while True:
            found = catalog.prediction(RequestHistory(1).prediction_id)
            if found and found["outcome"] and found["outcome"]["feedback"] >= feedback:
                outcome: dict[str, Any] = found["outcome"]
                return outcome
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.3)
    finally:
        catalog.close()


def _digests(config: Settings) -> dict[str, TableDigest]:
    catalog = Catalog(config.catalog_url)
    try:
        return digest_tables(catalog)
    finally:
        catalog.close()
