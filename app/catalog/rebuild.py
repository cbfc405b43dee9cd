"""The catalog made again from the log.

1. begin one transaction, in which the tables are dropped and made anew: from here on other writers wait
2. read the log to its end, which so has all that any writer has ever written
3. commit: nobody ever sees a catalog that is half full, and a rebuild that fails leaves the one that was there
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from app import topics
from app.catalog.models import Base
from app.catalog.store import Catalog, project
from app.eventlog import snapshot
from app.settings import Settings

Progress = Callable[[str, int], None]
"""Called with a topic and the number of its records that were read since."""


@dataclass(frozen=True)
class Rebuilt:
    """How many records were read, and how many of them can't be."""

    records: int
    unreadable: int


@dataclass(frozen=True)
class Digest:
    """How many rows a table has, and a hash of all that is in them."""

    rows: int
    sha256: str


def projected(settings: Settings) -> list[str]:
    """The topics that the catalog is made from."""
    unused = {kind(task) for task in settings.tasks for kind in (topics.requests, topics.features)}
    return [topic for topic in topics.archived(settings.tasks) if topic not in unused]


async def rebuild(settings: Settings, catalog: Catalog, progress: Progress = lambda topic, count: None) -> Rebuilt:
    """Make the catalog again. Raises `Unavailable` when the database is away, or a writer doesn't make room."""
    read = unreadable = 0
    with catalog.replacing() as connection:
        for topic in projected(settings):
            progress(topic, 0)
            async for records in snapshot.records(settings, topic):
                unreadable += await asyncio.to_thread(project, connection, records)
                read += len(records)
                progress(topic, len(records))
    return Rebuilt(read, unreadable)


def digests(catalog: Catalog) -> dict[str, Digest]:
    """What the catalog holds, table by table: equal digests are equal rows, on any database."""
    return {name: _digest(catalog, name) for name in Base.metadata.tables}


def _digest(catalog: Catalog, name: str) -> Digest:
    rows, digest = 0, hashlib.sha256()
    for row in catalog.rows(name):
        rows += 1
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return Digest(rows, digest.hexdigest())
