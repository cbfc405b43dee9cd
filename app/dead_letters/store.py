"""Dead letters in the log: what could not be processed, and why. `app.dead_letters.redelivery` sends them back."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app.dead_letters.letter import COLUMNS, Letter, Place, Wanted, letter_of
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.cloudevents import Incoming
from app.settings import Settings
from app.storage.blob_store import blob_store

REPLAYED = "ce_replayof"
"""The header of what goes back: the dead letter's id."""

_CHUNK = 100


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator["DeadLetters"]:
    """The dead letters that are in the log now. Raises KafkaError without a broker."""
    with TemporaryDirectory() as scratch:
        taken = await snapshot.take(settings, [topics.DEAD_LETTERS], Path(scratch))
        yield DeadLetters(settings, taken[topics.DEAD_LETTERS], Path(scratch))


class DeadLetters:
    """The dead letters of one moment."""

    def __init__(self, settings: Settings, taken: Snapshot, scratch: Path) -> None:
        self._settings = settings
        self._snapshot = taken
        self._scratch = scratch
        self._blobs = blob_store(settings)

    async def find(self, wanted: Wanted, limit: int | None = None) -> list[Letter]:
        """Those that are wanted, the newest `limit` of them, in the order of the log."""
        return await self._counted(self._find(wanted.rows, limit))

    async def earlier(self, letters: Sequence[Letter]) -> list[Letter]:
        """Feedback that would be overtaken: on the same predictions as these, rejected before and not replayed yet."""
        of_feedback = [one for one in letters if one.topic.endswith(topics.feedback("")) and one.key is not None]
        lasts = {(letter.topic, letter.key): letter for letter in of_feedback}
        if not lasts:
            return []
        known = {letter.id for letter in letters}

        def overtaken(letter: Letter) -> bool:
            by = lasts.get((letter.topic, letter.key))
            return by is not None and letter.order < by.order and letter.id not in known

        rows = ds.field("key").isin([letter.key for letter in of_feedback])
        found = filter(overtaken, self._find(rows))
        return [letter for letter in await self._counted(list(found)) if letter.replayed == 0]

    def originals(self, letters: Iterable[Letter]) -> Iterator[tuple[Letter, Incoming]]:
        """Each letter with its record as it is in the log, payload and all. Raises `Rejected` for a missing blob."""
        ordered = iter(letters)
        while chunk := list(islice(ordered, _CHUNK)):
            offsets = ds.field("offset").isin([letter.place[2] for letter in chunk])
            with Archive(self._settings).readable(topics.DEAD_LETTERS):
                rows = self._snapshot.dataset().to_table(filter=offsets).to_pylist()
            by_place = {(row["epoch"], row["partition"], row["offset"]): row for row in rows}
            for letter in chunk:
                # A dead letter is as large as any record may be, whatever the limit of blobs.
                limit = topics.max_message_bytes(self._settings)
                yield letter, snapshot.incoming(by_place[letter.place], self._blobs, limit)

    def _find(self, rows: ds.Expression, limit: int | None = None) -> list[Letter]:
        found: dict[str, Letter] = {}
        with Archive(self._settings).readable(topics.DEAD_LETTERS):
            dataset = self._snapshot.dataset()
            if limit is not None:
                rows &= _newest(dataset, rows, limit)
            for batch in dataset.to_batches(columns=COLUMNS, filter=rows):
                for letter in map(letter_of, batch.to_pylist()):
                    # Redelivery makes two records of one dead letter: the first in the log is the dead letter.
                    found[letter.id] = min(letter, found.get(letter.id, letter), key=_order)
        ordered = sorted(found.values(), key=_order)
        return ordered if limit is None else ordered[-limit:]

    async def _counted(self, letters: list[Letter]) -> list[Letter]:
        """The letters with how often they were replayed. That is looked for only where and since when it can be."""
        if not letters:
            return []
        archived = set(topics.archived(self._settings.tasks))
        sources = sorted({letter.topic for letter in letters} & archived)
        first = min(letter.logged for letter in letters)
        replays = Counter[str]()
        snapshots = await snapshot.take(self._settings, sources, self._scratch) if sources else {}
        for source, taken in snapshots.items():
            with Archive(self._settings).readable(source):
                replays.update(_replays(taken.dataset(), first))
        return [replace(one, redeliveries=replays[one.id] if one.topic in archived else None) for one in letters]


def _order(letter: Letter) -> tuple[datetime, Place]:
    return letter.order


def _newest(dataset: ds.Dataset, rows: ds.Expression, limit: int) -> ds.Expression:
    """The rows of the newest letters, found before any of them becomes an object: there may be a million."""
    firsts = dataset.to_table(["id", "logged"], filter=rows).group_by("id").aggregate([("logged", "min")])
    if firsts.num_rows <= limit:
        return pc.scalar(True)
    least = firsts.column("logged_min").sort("descending")[limit - 1]
    newest = firsts.filter(ds.field("logged_min") >= least)
    return ds.field("id").isin(newest.column("id").combine_chunks()) & (ds.field("logged") >= least)


def _replays(dataset: ds.Dataset, since: datetime) -> Counter[str]:
    """How often each dead letter went back to this topic since then."""
    found = Counter[str]()
    for batch in dataset.to_batches(columns=["headers"], filter=ds.field("logged") >= pa.scalar(since)):
        headers = pc.list_flatten(batch.column("headers"))
        replays = headers.filter(pc.equal(pc.struct_field(headers, "name"), REPLAYED))
        found.update(value.decode(errors="replace") for value in pc.struct_field(replays, "value").to_pylist() if value)
    return found
