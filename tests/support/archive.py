"""Waiting for the archive."""

import asyncio
import time

from app.eventlog.archive import Archive, application
from app.kafka import reader
from app.settings import Settings


async def archived(settings: Settings, *topics: str, seconds: float = 120) -> None:
    """Return once all that these topics hold now is archived."""
    held = await reader.held(settings, list(topics))
    deadline = time.monotonic() + seconds
    for partition, one in held.items():
        while True:
            table = Archive(settings).table(partition.topic)
            last = table.transaction_version(application(one.epoch, partition.partition)) if table else None
            if one.end == 0 or (last is not None and last >= one.end - 1):
                break
            assert time.monotonic() < deadline, f"{partition} is not archived"
            await asyncio.sleep(0.2)
