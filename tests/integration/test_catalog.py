"""The recorder projects the log into the catalog, and rebuilds a catalog that is lost."""

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

ROUTE_CHANGE = make_record(RouteChanged(task="letters", action="promote", champion="1", reason="first", actor="us"))
RECORDS = [
    ROUTE_CHANGE,
    make_dead_letter(),
    RequestHistory(1).prediction_record(),
    RequestHistory(1).feedback_record(1),
]


@pytest.mark.soak
async def test_the_log_is_projected_into_the_catalog_and_again_when_the_catalog_is_lost(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, tasks={"letters": "tests.support.tasks:Letters"})
    async with run_processes(config, only=("kafka", "recorder")):
        for record in RECORDS:
            await publish(config, record.topic, [OutgoingRecord(record.value, record.key, record.headers)])
        tables = {"route_changes", "dead_letters", "predictions", "feedback", "outcomes"}
        before = await wait_until_filled(config, tables)
        os.kill(read_pids(config)["recorder"], signal.SIGKILL)  # its supervisor starts it again
        for file in (tmp_path / "home").glob("catalog.sqlite*"):
            file.unlink()
        assert await wait_until_filled(config, tables) == before
        contradiction = RequestHistory(1).feedback_record(2, after_seconds=2, correction={"sum": 3.0}, actor="bob")
        await publish(
            config,
            contradiction.topic,
            [OutgoingRecord(contradiction.value, contradiction.key, contradiction.headers)],
        )
        assert (await wait_for_outcome(config, feedback=2))["contradicted"]


async def wait_until_filled(config: Settings, tables: set[str], seconds: float = 120) -> dict[str, TableDigest]:
    """Wait until the catalog has rows in these tables; return the digests of all tables."""
    deadline = time.monotonic() + seconds
    digests: dict[str, TableDigest] = {}
    while True:
        with suppress(Unavailable):
            digests = await asyncio.to_thread(_digests, config)
            if all(digests[table].rows for table in tables):
                return digests
        assert time.monotonic() < deadline, f"tables of the catalog are empty: {digests}"
        await asyncio.sleep(0.3)


async def wait_for_outcome(config: Settings, feedback: int, seconds: float = 120) -> dict[str, Any]:
    """Wait until the outcome of the prediction counts so many feedback events; return it."""
    deadline = time.monotonic() + seconds
    catalog = Catalog(config.catalog_url)
    try:
        while True:
            prediction = catalog.prediction(RequestHistory(1).prediction_id)
            if prediction and prediction["outcome"] and prediction["outcome"]["feedback"] >= feedback:
                outcome: dict[str, Any] = prediction["outcome"]
                return outcome
            assert time.monotonic() < deadline, prediction
            await asyncio.sleep(0.3)
    finally:
        catalog.close()


def _digests(config: Settings) -> dict[str, TableDigest]:
    catalog = Catalog(config.catalog_url)
    try:
        return digest_tables(catalog)
    finally:
        catalog.close()
