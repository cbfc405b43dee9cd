"""The rebuild of the catalog from the log.

1. begin one transaction, and recreate the tables in it: from now on other writers wait
2. read the log to its end, which includes all records that any writer has projected
3. commit: nobody sees a partly filled catalog, and a failed rebuild leaves the previous one
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from app.catalog.catalog import Catalog, project_records
from app.catalog.orm import Base
from app.eventlog import snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord
from app.outcomes.repartition import Repartitioner
from app.settings import Settings
from app.streams.delivery import BatchHandler
from app.tasks import load_tasks
from models.base import Rejected

ProgressCallback = Callable[[str, int], None]
"""Called with a topic and the number of its records that were read since the last call."""


@dataclass(frozen=True)
class RebuildResult:
    """The number of records that were read, and how many of them can't be read or joined."""

    records: int
    unreadable: int


@dataclass(frozen=True)
class TableDigest:
    """The number of rows of a table, and a hash of their content."""

    rows: int
    sha256: str


def projected_topics(settings: Settings) -> list[str]:
    """Return the topics that the catalog is built from."""
    unused = {kind(task) for task in settings.tasks for kind in (topics.requests, topics.features)}
    return [topic for topic in topics.archived_topics(settings.tasks) if topic not in unused]


async def rebuild(
    settings: Settings, catalog: Catalog, progress: ProgressCallback = lambda topic, count: None
) -> RebuildResult:
    """Rebuild the catalog. Raises `Unavailable` if the database is unreachable, or a writer keeps its lock."""
    record_count = unreadable = 0
    with catalog.replace_tables() as connection:
        for topic in projected_topics(settings):
            progress(topic, 0)
            filter_records = _topic_filter(settings, topic)
            async for records in snapshot.read_records(settings, topic):
                projected = await filter_records(records)
                unreadable += len(records) - len(projected)
                unreadable += await asyncio.to_thread(project_records, connection, projected)
                record_count += len(records)
                progress(topic, len(records))
    return RebuildResult(record_count, unreadable)


def _topic_filter(
    settings: Settings, topic: str
) -> Callable[[Sequence[ConsumedRecord]], Awaitable[Sequence[ConsumedRecord]]]:
    """Return a filter of a topic's records: the live catalog has only joined predictions and feedback."""

    async def keep_all(records: Sequence[ConsumedRecord]) -> Sequence[ConsumedRecord]:
        return records

    for task in load_tasks(settings).values():
        handlers = {
            topics.predictions: Repartitioner(task).repartition_predictions,
            topics.feedback: Repartitioner(task).repartition_feedback,
        }
        for topic_name, handle in handlers.items():
            if topic == topic_name(task.name):
                return partial(_keep_joined, handle)
    return keep_all


async def _keep_joined(handle: BatchHandler, records: Sequence[ConsumedRecord]) -> Sequence[ConsumedRecord]:
    """Return the records that were not rejected when they were repartitioned for the join."""
    answers = await handle(records)
    return [record for record, answer in zip(records, answers, strict=True) if not isinstance(answer, Rejected)]


def digest_tables(catalog: Catalog) -> dict[str, TableDigest]:
    """Return a digest of each table: equal digests mean equal rows, on any database."""
    return {name: _digest_table(catalog, name) for name in Base.metadata.tables}


def _digest_table(catalog: Catalog, name: str) -> TableDigest:
    rows, digest = 0, hashlib.sha256()
    for row in catalog.rows(name):
        rows += 1
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return TableDigest(rows, digest.hexdigest())
