"""What keeps the archive fast and the storage bounded, done now and then by an archive process.

Each part is safe at any moment, to be killed in, and to be done by two processes at once:

1. days beyond `archive_retention_days` are dropped from the tables: a commit that names whole files
2. small files become large ones: see `app.eventlog.compaction`
3. files that no version of a table has needed for a day are deleted, with the log entries of these versions, and what
   killed writers left
4. Kafka forgets what is archived: see `app.eventlog.retention`
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
"""In that time a table gets 120 files, at a commit every 5 seconds: a reader opens these in no time."""
INITIAL_DELAY_SECONDS = 60.0
"""A process that is started often still gets round to it, after it has caught up with the log."""
ORPHAN_AGE = timedelta(days=1)
"""No writer takes so long for one file."""

log = logging.getLogger(__name__)


async def run_maintenance(settings: Settings, is_leader: Callable[[], bool]) -> None:
    """A round now and then, for ever, by whichever process is in charge: one is enough."""
    await asyncio.sleep(INITIAL_DELAY_SECONDS)
    while True:
        if is_leader():
            await run_once(settings)
        await asyncio.sleep(INTERVAL_SECONDS)


async def run_once(settings: Settings) -> None:
    """Do what is due. What fails is logged, and tried again in the next round."""
    now = datetime.now(UTC)
    for topic in topics.archived_topics(settings.tasks):
        try:
            await asyncio.to_thread(maintain_table, settings, topic, now)
        except CommitFailedError as error:
            log.info("housekeeping: %s: another writer was faster: %s", topic, error)
        except Exception:
            log.exception("housekeeping: %s", topic)
    try:
        await apply_retention(settings, now)
    except (KafkaError, OSError, SetupError) as error:
        log.warning("housekeeping: Kafka keeps what is archived until the next round: %s", error)


def maintain_table(settings: Settings, topic: str, now: datetime) -> None:
    """Drop, compact and clean up one topic's table. Raises `SetupError` for one that can't be read."""
    archive = Archive(settings)
    with archive.diagnose_errors(topic):
        if (table := archive.table(topic)) is None:
            return
        if settings.archive_retention_days is not None and topic != topics.LIFECYCLE:
            _drop_expired(table, (now - timedelta(days=settings.archive_retention_days)).date())
        compact(table, now)
        if table.vacuum(full=True):  # what a killed or failed writer left is found by listing only
            table.vacuum(dry_run=False, full=True)
        table.cleanup_metadata()
        if (directory := archive.directory(topic)) is not None:
            _delete_orphans(directory, now)


def _drop_expired(table: DeltaTable, before: date) -> None:
    if any(date.fromisoformat(partition["day"]) < before for partition in table.partitions()):
        table.delete(f"day < '{before}'")


def _delete_orphans(directory: Path, now: datetime) -> None:
    """Delete what a killed writer left of files that it had not finished: vacuum does not see these."""
    for path in directory.rglob("*#*"):
        with suppress(FileNotFoundError):  # its writer has just finished it
            if path.stat().st_mtime < (now - ORPHAN_AGE).timestamp():
                path.unlink()
