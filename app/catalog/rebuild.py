"""The catalog made again from the log.

1. begin one transaction, in which the tables are dropped and made anew: from here on other writers wait
2. read the log to its end, which so has all that any writer has ever written
3. commit: nobody ever sees a catalog that is half full, and a rebuild that fails leaves the one that was there
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from app.backoff import retry
from app.catalog.catalog import Catalog, project_records
from app.catalog.orm import Base
from app.errors import Unavailable
from app.eventlog import snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord
from app.outcomes.repartition import Repartitioner
from app.settings import Settings
from app.streams.delivery import BatchHandler
from app.tasks import load_tasks
from models.base import Rejected

log = logging.getLogger(__name__)

ProgressCallback = Callable[[str, int], None]
"""Called with a topic and the number of its records that were read since."""


@dataclass(frozen=True)
class RebuildResult:
    """How many records were read, and how many of them can't be read or joined."""

    records: int
    unreadable: int


@dataclass(frozen=True)
class TableDigest:
    """How many rows a table has, and a hash of all that is in them."""

    rows: int
    sha256: str


def projected_topics(settings: Settings) -> list[str]:
    """The topics that the catalog is made from."""
    unused = {kind(task) for task in settings.tasks for kind in (topics.requests, topics.features)}
    return [topic for topic in topics.archived_topics(settings.tasks) if topic not in unused]


async def rebuild(
    settings: Settings, catalog: Catalog, progress: ProgressCallback = lambda topic, count: None
) -> RebuildResult:
    """Make the catalog again. Raises `Unavailable` when the database is away, or a writer doesn't make room."""
    read = unreadable = 0
    with catalog.replace_tables() as connection:
        for topic in projected_topics(settings):
            progress(topic, 0)
            taken = _topic_filter(settings, topic)
            async for records in snapshot.read_records(settings, topic):
                kept = await taken(records)
                unreadable += len(records) - len(kept)
                unreadable += await asyncio.to_thread(project_records, connection, kept)
                read += len(records)
                progress(topic, len(records))
    return RebuildResult(read, unreadable)


def _topic_filter(
    settings: Settings, topic: str
) -> Callable[[Sequence[ConsumedRecord]], Awaitable[Sequence[ConsumedRecord]]]:
    """Which records of a topic the live catalog has: of predictions and feedback, those that are joined."""

    async def all_of_them(records: Sequence[ConsumedRecord]) -> Sequence[ConsumedRecord]:
        return records

    for task in load_tasks(settings).values():
        handlers = {
            topics.predictions: Repartitioner(task).repartition_predictions,
            topics.feedback: Repartitioner(task).repartition_feedback,
        }
        for kind, handle in handlers.items():
            if topic == kind(task.name):
                return partial(_keep_joined, handle)
    return all_of_them


async def _keep_joined(handle: BatchHandler, records: Sequence[ConsumedRecord]) -> Sequence[ConsumedRecord]:
    """Without what was dead-lettered instead of being joined; what needs no join has no row by itself."""
    answers = await handle(records)
    return [record for record, answer in zip(records, answers, strict=True) if not isinstance(answer, Rejected)]


async def ensure_catalog(settings: Settings) -> None:
    """Return once there is a catalog: one that was lost is made again from the log, however long that takes.

    A recorder that went on with an empty one would judge predictions without what was said of them before.
    """
    catalog = Catalog(settings.catalog_url)

    async def rebuild_if_missing() -> None:
        if not catalog.exists():
            log.info("there is no catalog: making it from the log")
            done = await rebuild(settings, catalog)
            log.info("the catalog is made of %d records", done.records)

    try:
        await retry(rebuild_if_missing, (Unavailable,), log, "the recorder waits for the catalog")
    finally:
        catalog.close()


def digest_tables(catalog: Catalog) -> dict[str, TableDigest]:
    """What the catalog holds, table by table: equal digests are equal rows, on any database."""
    return {name: _digest_table(catalog, name) for name in Base.metadata.tables}


def _digest_table(catalog: Catalog, name: str) -> TableDigest:
    rows, digest = 0, hashlib.sha256()
    for row in catalog.rows(name):
        rows += 1
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return TableDigest(rows, digest.hexdigest())
