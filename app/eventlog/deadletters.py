"""Dead letters: what could not be processed, and why, as the log has it. Back they go by `app.eventlog.resending`."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from app import topics
from app.blobs import blob_store
from app.delivery import Incoming
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.settings import Settings

REPLAYED = "ce_replayof"
"""The header of what goes back: the dead letter's id."""

_COLUMNS = ["epoch", "partition", "offset", "logged", "id", "key", "extensions"]
_CHUNK = 100


@dataclass(frozen=True)
class Letter:
    """One dead letter, without its payload. `event` is the (source, id) that the original had or was given.

    `replayed` is how often it went back; None where that is not known, as the topic is not kept.
    """

    id: str
    logged: datetime
    stage: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event: tuple[str, str]
    key: bytes | None
    place: tuple[str, int, int]
    replayed: int | None = 0

    @property
    def task(self) -> str:
        """The task whose topic it came from."""
        return self.topic.rpartition(".")[0]

    @property
    def order(self) -> tuple[datetime, tuple[str, int, int]]:
        """Where it stands among the others in the log."""
        return self.logged, self.place


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are asked for: those of which all of this is true."""

    ids: frozenset[str] = frozenset()
    stage: str | None = None
    code: str | None = None
    task: str | None = None
    since: datetime | None = None

    def __call__(self, letter: Letter) -> bool:
        """Whether this is one of them."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.stage in (None, letter.stage)
            and self.code in (None, letter.code)
            and self.task in (None, letter.task)
            and (self.since is None or letter.logged >= self.since)
        )


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
        return await self._counted(self._find(wanted, wanted.since, limit))

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

        return [letter for letter in await self._counted(self._find(overtaken)) if letter.replayed == 0]

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

    def _find(
        self, wanted: Callable[[Letter], bool], since: datetime | None = None, limit: int | None = None
    ) -> list[Letter]:
        found: dict[str, Letter] = {}
        filter_ = None if since is None else ds.field("logged") >= pa.scalar(since)
        with Archive(self._settings).readable(topics.DEAD_LETTERS):
            for batch in self._snapshot.dataset().to_batches(columns=_COLUMNS, filter=filter_):
                for letter in filter(wanted, map(_letter, batch.to_pylist())):
                    # Redelivery makes two records of one dead letter: the first in the log is the dead letter.
                    found[letter.id] = min(letter, found.get(letter.id, letter), key=_order)
                if limit is not None and len(found) > 2 * limit:
                    found = {letter.id: letter for letter in _newest(found.values(), limit)}
        return _newest(found.values(), limit)

    async def _counted(self, letters: list[Letter]) -> list[Letter]:
        """The letters with how often they were replayed. That is looked for only where and since when it can be."""
        if not letters:
            return []
        archived = set(topics.archived(self._settings.tasks))
        sources = {letter.topic for letter in letters}
        first = min(letter.logged for letter in letters)
        replays = Counter[str]()
        for source, taken in (await snapshot.take(self._settings, sorted(sources & archived), self._scratch)).items():
            with Archive(self._settings).readable(source):
                replays.update(_replays(taken.dataset(), first))
        return [replace(one, replayed=replays[one.id] if one.topic in archived else None) for one in letters]


def _letter(row: Mapping[str, Any]) -> Letter:
    said = dict(row["extensions"] or ())
    return Letter(
        id=row["id"],
        logged=row["logged"],
        stage=said.get("stage", "unknown"),
        code=said.get("code", "unknown"),
        reason=said.get("reason", ""),
        topic=said.get("topic", ""),
        partition=_number(said.get("partition", "")),
        offset=_number(said.get("offset", "")),
        event=(said.get("event_source", ""), said.get("event_id", "")),
        key=row["key"],
        place=(row["epoch"], row["partition"], row["offset"]),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _order(letter: Letter) -> tuple[datetime, tuple[str, int, int]]:
    return letter.order


def _newest(letters: Iterable[Letter], limit: int | None) -> list[Letter]:
    ordered = sorted(letters, key=_order)
    return ordered if limit is None else ordered[-limit:]


def _replays(dataset: ds.Dataset, since: datetime) -> Counter[str]:
    """How often each dead letter went back to this topic since then."""
    found = Counter[str]()
    for batch in dataset.to_batches(columns=["headers"], filter=ds.field("logged") >= pa.scalar(since)):
        headers = pc.list_flatten(batch.column("headers"))
        replays = headers.filter(pc.equal(pc.struct_field(headers, "name"), REPLAYED))
        found.update(value.decode(errors="replace") for value in pc.struct_field(replays, "value").to_pylist() if value)
    return found
