"""Wait for the archive."""

import asyncio
import time

from app.eventlog.archive import Archive, transaction_app_id
from app.kafka import reader
from app.settings import Settings


async def wait_until_archived(settings: Settings, *topics: str, seconds: float = 120) -> None:
    """Wait until all present records of these topics are archived."""
    ranges = await reader.fetch_offset_ranges(settings, list(topics))
    deadline = time.monotonic() + seconds
    for partition, offsets in ranges.items():
        app_id = transaction_app_id(offsets.topic_id, partition.partition)
        while True:
            table = Archive(settings).table(partition.topic)
            last = table.transaction_version(app_id) if table else None
            if offsets.end == 0 or (last is not None and last >= offsets.end - 1):
                break
            assert time.monotonic() < deadline, f"{partition} is not archived"
            await asyncio.sleep(0.2)
