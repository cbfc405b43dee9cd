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

from app.dead_letters.letter import COLUMNS, DeadLetterEntry, DeadLetterFilter, LogPosition, entry_of
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord
from app.settings import Settings
from app.storage.blob_store import blob_store

REPLAY_OF_HEADER = "ce_replayof"
"""The header of what goes back: the dead letter's id."""

_CHUNK_SIZE = 100


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator["DeadLetterStore"]:
    """The dead letters that are in the log now. Raises KafkaError without a broker."""
    with TemporaryDirectory() as scratch:
        taken = await snapshot.take(settings, [topics.DEAD_LETTERS], Path(scratch))
        yield DeadLetterStore(settings, taken[topics.DEAD_LETTERS], Path(scratch))


class DeadLetterStore:
    """The dead letters of one moment."""

    def __init__(self, settings: Settings, snapshot: Snapshot, scratch: Path) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._scratch = scratch
        self._blobs = blob_store(settings)

    async def find(self, criteria: DeadLetterFilter, limit: int | None = None) -> list[DeadLetterEntry]:
        """Those that are wanted, the newest `limit` of them, in the order of the log."""
        return await self._with_redelivery_counts(self._find(criteria.expression, limit))

    async def find_earlier_feedback(self, letters: Sequence[DeadLetterEntry]) -> list[DeadLetterEntry]:
        """Feedback that would be overtaken: on the same predictions as these, rejected before and not replayed yet."""
        of_feedback = [one for one in letters if one.topic.endswith(topics.feedback("")) and one.key is not None]
        lasts = {(letter.topic, letter.key): letter for letter in of_feedback}
        if not lasts:
            return []
        known = {letter.id for letter in letters}

        def overtaken(letter: DeadLetterEntry) -> bool:
            by = lasts.get((letter.topic, letter.key))
            return by is not None and letter.sort_key < by.sort_key and letter.id not in known

        rows = ds.field("key").isin([letter.key for letter in of_feedback])
        found = filter(overtaken, self._find(rows))
        return [letter for letter in await self._with_redelivery_counts(list(found)) if letter.redeliveries == 0]

    def read_originals(self, letters: Iterable[DeadLetterEntry]) -> Iterator[tuple[DeadLetterEntry, ConsumedRecord]]:
        """Each letter with its record as it is in the log, payload and all. Raises `Rejected` for a missing blob."""
        ordered = iter(letters)
        while chunk := list(islice(ordered, _CHUNK_SIZE)):
            offsets = ds.field("offset").isin([letter.position[2] for letter in chunk])
            with Archive(self._settings).diagnose_errors(topics.DEAD_LETTERS):
                rows = self._snapshot.dataset().to_table(filter=offsets).to_pylist()
            by_place = {(row["epoch"], row["partition"], row["offset"]): row for row in rows}
            for letter in chunk:
                # A dead letter is as large as any record may be, whatever the limit of blobs.
                limit = topics.max_message_bytes(self._settings)
                yield letter, snapshot.record_from_row(by_place[letter.position], self._blobs, limit)

    def _find(self, rows: ds.Expression, limit: int | None = None) -> list[DeadLetterEntry]:
        found: dict[str, DeadLetterEntry] = {}
        with Archive(self._settings).diagnose_errors(topics.DEAD_LETTERS):
            dataset = self._snapshot.dataset()
            if limit is not None:
                rows &= _newest(dataset, rows, limit)
            for batch in dataset.to_batches(columns=COLUMNS, filter=rows):
                for letter in map(entry_of, batch.to_pylist()):
                    # Redelivery makes two records of one dead letter: the first in the log is the dead letter.
                    found[letter.id] = min(letter, found.get(letter.id, letter), key=_sort_key)
        ordered = sorted(found.values(), key=_sort_key)
        return ordered if limit is None else ordered[-limit:]

    async def _with_redelivery_counts(self, letters: list[DeadLetterEntry]) -> list[DeadLetterEntry]:
        """The letters with how often they were replayed. That is looked for only where and since when it can be."""
        if not letters:
            return []
        archived = set(topics.archived_topics(self._settings.tasks))
        sources = sorted({letter.topic for letter in letters} & archived)
        first = min(letter.logged for letter in letters)
        replays = Counter[str]()
        snapshots = await snapshot.take(self._settings, sources, self._scratch) if sources else {}
        for source, taken in snapshots.items():
            with Archive(self._settings).diagnose_errors(source):
                replays.update(_count_redeliveries(taken.dataset(), first))
        return [replace(one, redeliveries=replays[one.id] if one.topic in archived else None) for one in letters]


def _sort_key(letter: DeadLetterEntry) -> tuple[datetime, LogPosition]:
    return letter.sort_key


def _newest(dataset: ds.Dataset, rows: ds.Expression, limit: int) -> ds.Expression:
    """The rows of the newest letters, found before any of them becomes an object: there may be a million."""
    firsts = dataset.to_table(["id", "logged"], filter=rows).group_by("id").aggregate([("logged", "min")])
    if firsts.num_rows <= limit:
        return pc.scalar(True)
    least = firsts.column("logged_min").sort("descending")[limit - 1]
    newest = firsts.filter(ds.field("logged_min") >= least)
    return ds.field("id").isin(newest.column("id").combine_chunks()) & (ds.field("logged") >= least)


def _count_redeliveries(dataset: ds.Dataset, since: datetime) -> Counter[str]:
    """How often each dead letter went back to this topic since then."""
    found = Counter[str]()
    for batch in dataset.to_batches(columns=["headers"], filter=ds.field("logged") >= pa.scalar(since)):
        headers = pc.list_flatten(batch.column("headers"))
        replays = headers.filter(pc.equal(pc.struct_field(headers, "name"), REPLAY_OF_HEADER))
        found.update(value.decode(errors="replace") for value in pc.struct_field(replays, "value").to_pylist() if value)
    return found
