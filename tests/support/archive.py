"""Waiting for the archive."""

import asyncio
import time

from app.eventlog.archive import Archive, transaction_app_id
from app.kafka import reader
from app.settings import Settings


async def wait_until_archived(settings: Settings, *topics: str, seconds: float = 120) -> None:
    """Return once all that these topics hold now is archived."""
    held = await reader.fetch_offset_ranges(settings, list(topics))
    deadline = time.monotonic() + seconds
    for partition, one in held.items():
        while True:
            table = Archive(settings).table(partition.topic)
            last = table.transaction_version(transaction_app_id(one.topic_id, partition.partition)) if table else None
            if one.end == 0 or (last is not None and last >= one.end - 1):
                break
            assert time.monotonic() < deadline, f"{partition} is not archived"
            await asyncio.sleep(0.2)
