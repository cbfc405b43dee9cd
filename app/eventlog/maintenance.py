"""Maintenance that keeps the archive fast and the storage bounded, run periodically by an archive process.

Each step is safe at any time, when killed, and when two processes run it at once:

1. drop days beyond `archive_retention_days` from the tables: a commit that names whole files
2. compact small files into large ones: see `app.eventlog.compaction`
3. delete files that no version of a table has needed for a day, the log entries of these versions, and partial files
4. delete archived records from Kafka: see `app.eventlog.retention`
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aiokafka.errors import KafkaError
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from app.errors import SetupError
from app.eventlog.archive import Archive
from app.eventlog.compaction import compact
from app.eventlog.retention import apply_retention
from app.events import topics
from app.settings import Settings

INTERVAL_SECONDS = 600.0
"""With a commit every 10 seconds a table gets 60 files in this time, which readers open quickly."""
INITIAL_DELAY_SECONDS = 60.0
"""Time to catch up with the log; short enough for a process that is restarted often."""
ORPHAN_AGE = timedelta(days=1)
"""No writer needs so long for one file."""

log = logging.getLogger(__name__)


async def run_maintenance(settings: Settings, is_leader: Callable[[], bool]) -> None:
    """Run the maintenance periodically while this process is the leader."""
    await asyncio.sleep(INITIAL_DELAY_SECONDS)
    while True:
        if is_leader():
            await run_once(settings)
        await asyncio.sleep(INTERVAL_SECONDS)


async def run_once(settings: Settings) -> None:
    """Run all steps. Failures are logged, and retried in the next run."""
    now = datetime.now(UTC)
    for topic in topics.archived_topics(settings.tasks):
        try:
            await asyncio.to_thread(maintain_table, settings, topic, now)
        except CommitFailedError as error:
            log.info("maintenance: %s: another writer committed first: %s", topic, error)
        except Exception:
            log.exception("maintenance: %s", topic)
    try:
        await apply_retention(settings, now)
    except (KafkaError, OSError, SetupError) as error:
        log.warning("maintenance: Kafka keeps archived records until the next run: %s", error)


def maintain_table(settings: Settings, topic: str, now: datetime) -> None:
    """Drop, compact and clean up a topic's table. Raises `SetupError` if it can't be read."""
    archive = Archive(settings)
    with archive.diagnose_errors(topic):
        if (table := archive.table(topic)) is None:
            return
        if settings.archive_retention_days is not None and topic != topics.LIFECYCLE:
            _drop_expired(table, (now - timedelta(days=settings.archive_retention_days)).date())
        compact(table, now)
        if table.vacuum(full=True):  # full: list the files, to find those of killed writers
            table.vacuum(dry_run=False, full=True)
        table.cleanup_metadata()
        if (directory := archive.directory(topic)) is not None:
            _delete_orphans(directory, now)


def _drop_expired(table: DeltaTable, before: date) -> None:
    if any(date.fromisoformat(partition["day"]) < before for partition in table.partitions()):
        table.delete(f"day < '{before}'")


def _delete_orphans(directory: Path, now: datetime) -> None:
    """Delete unfinished files of killed writers, which vacuum does not find."""
    for path in directory.rglob("*#*"):
        with suppress(FileNotFoundError):  # its writer has just renamed it
            if path.stat().st_mtime < (now - ORPHAN_AGE).timestamp():
                path.unlink()
