"""Dead letters in the log. `app.dead_letters.redelivery` publishes them again."""

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

from app.dead_letters.letter import (
    COLUMNS,
    UNKNOWN,
    DeadLetterEntry,
    DeadLetterFilter,
    LogPosition,
    entry_of,
    extension,
)
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord
from app.settings import Settings
from app.storage.blob_store import blob_store

REPLAY_OF_HEADER = "ce_replayof"
"""The header of a redelivered record with the dead letter's id."""

_CHUNK_SIZE = 100


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator["DeadLetterStore"]:
    """Open the dead letters that are in the log now. Raises KafkaError without a broker."""
    with TemporaryDirectory() as scratch:
        snapshots = await snapshot.take(settings, [topics.DEAD_LETTERS], Path(scratch))
        yield DeadLetterStore(settings, snapshots[topics.DEAD_LETTERS], Path(scratch))


class DeadLetterStore:
    """A snapshot of the dead letters."""

    def __init__(self, settings: Settings, snapshot: Snapshot, scratch: Path) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._scratch = scratch
        self._blobs = blob_store(settings)

    async def find(self, criteria: DeadLetterFilter, limit: int | None = None) -> list[DeadLetterEntry]:
        """Return the newest `limit` dead letters that match, in the order of the log."""
        return await self._with_redelivery_counts(self._find(criteria.expression, limit))

    def count_codes(self, criteria: DeadLetterFilter) -> Counter[str]:
        """Return how many dead letters that match have each code."""
        columns = {"id": ds.field("id"), "code": extension("code", UNKNOWN)}
        with Archive(self._settings).diagnose_errors(topics.DEAD_LETTERS):
            table = self._snapshot.dataset().to_table(columns=columns, filter=criteria.expression)
        # A dead letter may be logged twice, with the same code.
        codes = table.group_by("id").aggregate([("code", "min")]).column("code_min")
        return Counter({row["values"]: row["counts"] for row in codes.value_counts().to_pylist()})

    async def find_earlier_feedback(self, letters: Sequence[DeadLetterEntry]) -> list[DeadLetterEntry]:
        """Return earlier rejected feedback on the same predictions that was not redelivered yet.

        Redelivering only the given letters would overtake it.
        """
        feedback_letters = [
            letter for letter in letters if letter.topic == topics.feedback(letter.task) and letter.key is not None
        ]
        last_letters = {(letter.topic, letter.key): letter for letter in feedback_letters}
        if not last_letters:
            return []
        ids = {letter.id for letter in letters}

        def is_overtaken(letter: DeadLetterEntry) -> bool:
            last_letter = last_letters.get((letter.topic, letter.key))
            return last_letter is not None and letter.sort_key < last_letter.sort_key and letter.id not in ids

        rows = ds.field("key").isin([letter.key for letter in feedback_letters])
        earlier = filter(is_overtaken, self._find(rows))
        return [letter for letter in await self._with_redelivery_counts(list(earlier)) if letter.redeliveries == 0]

    def read_originals(self, letters: Iterable[DeadLetterEntry]) -> Iterator[tuple[DeadLetterEntry, ConsumedRecord]]:
        """Yield each letter with its record, including the payload. Raises `Rejected` for a missing blob."""
        remaining = iter(letters)
        while chunk := list(islice(remaining, _CHUNK_SIZE)):
            offsets = ds.field("offset").isin([letter.position[2] for letter in chunk])
            with Archive(self._settings).diagnose_errors(topics.DEAD_LETTERS):
                rows = self._snapshot.dataset().to_table(filter=offsets).to_pylist()
            rows_by_position = {(row["epoch"], row["partition"], row["offset"]): row for row in rows}
            for letter in chunk:
                # A dead letter may be larger than a blob: the limit is that of all records.
                limit = topics.max_message_bytes(self._settings)
                yield letter, snapshot.record_from_row(rows_by_position[letter.position], self._blobs, limit)

    def _find(self, condition: ds.Expression, limit: int | None = None) -> list[DeadLetterEntry]:
        letters: dict[str, DeadLetterEntry] = {}
        with Archive(self._settings).diagnose_errors(topics.DEAD_LETTERS):
            dataset = self._snapshot.dataset()
            if limit is not None:
                condition &= _newest(dataset, condition, limit)
            for batch in dataset.to_batches(columns=COLUMNS, filter=condition):
                for letter in map(entry_of, batch.to_pylist()):
                    # At-least-once delivery may log a dead letter twice: the first record counts.
                    letters[letter.id] = min(letter, letters.get(letter.id, letter), key=_sort_key)
        ordered = sorted(letters.values(), key=_sort_key)
        return ordered if limit is None else ordered[-limit:]

    async def _with_redelivery_counts(self, letters: list[DeadLetterEntry]) -> list[DeadLetterEntry]:
        """Return the letters with their number of redeliveries, counted in their topics since the first letter."""
        if not letters:
            return []
        archived = set(topics.archived_topics(self._settings.tasks))
        sources = sorted({letter.topic for letter in letters} & archived)
        first = min(letter.logged for letter in letters)
        redeliveries = Counter[str]()
        snapshots = await snapshot.take(self._settings, sources, self._scratch) if sources else {}
        for source, topic_snapshot in snapshots.items():
            with Archive(self._settings).diagnose_errors(source):
                redeliveries.update(_count_redeliveries(topic_snapshot.dataset(), first))
        return [
            replace(letter, redeliveries=redeliveries[letter.id] if letter.topic in archived else None)
            for letter in letters
        ]


def _sort_key(letter: DeadLetterEntry) -> tuple[datetime, LogPosition]:
    return letter.sort_key


def _newest(dataset: ds.Dataset, condition: ds.Expression, limit: int) -> ds.Expression:
    """Return a filter of the newest letters without creating objects: there may be a million."""
    first_logged = dataset.to_table(["id", "logged"], filter=condition).group_by("id").aggregate([("logged", "min")])
    if first_logged.num_rows <= limit:
        return pc.scalar(True)
    min_logged = first_logged.column("logged_min").sort("descending")[limit - 1]
    newest = first_logged.filter(ds.field("logged_min") >= min_logged)
    return ds.field("id").isin(newest.column("id").combine_chunks()) & (ds.field("logged") >= min_logged)


def _count_redeliveries(dataset: ds.Dataset, since: datetime) -> Counter[str]:
    """Return how often each dead letter was redelivered to this topic since that time."""
    counts = Counter[str]()
    for batch in dataset.to_batches(columns=["headers"], filter=ds.field("logged") >= pa.scalar(since)):
        headers = pc.list_flatten(batch.column("headers"))
        marks = headers.filter(pc.equal(pc.struct_field(headers, "name"), REPLAY_OF_HEADER))
        counts.update(value.decode(errors="replace") for value in pc.struct_field(marks, "value").to_pylist() if value)
    return counts
