"""Erasing all that the platform holds of a person.

1. wait until all that the log holds was read by everyone and is archived
2. find the person's events in the archive: whatever is erased is found by these
3. erase the rows of the catalog; after an actor's, say anew what is known of the predictions that they judged
4. erase the datasets with rows of them, and the blobs that nothing else claims
5. have Kafka forget: it can only forget the beginning of a partition, which stays in the archive
6. erase the events from the archive, and the files that held them
7. say in the log that it was done, and never what

All is found by events in the archive, some of them by others. So these go last, requests at the very end: an erasure
that is interrupted is completed by doing it again.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from aiokafka import TopicPartition

from app.catalog.catalog import Catalog
from app.catalog.erasure import Erased
from app.erasure import deletion
from app.erasure.catch_up import caught_up
from app.erasure.search import Rows, Traces, Whose, search, unclaimed
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.cloudevents import Record, rfc3339, versioned
from app.events.decoding import decode
from app.events.ids import task_of
from app.events.lifecycle import DataErased
from app.events.model_events import DatasetBuilt
from app.kafka.producers import publish_all
from app.kafka.reader import Held
from app.outcomes.label_aggregation import judge, record_of
from app.replay import dataset
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.tasks import load
from models.base import Rejected

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is to do."""

_ROWS = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """All that is to be erased. Of the datasets in `unreachable` it is not known whether they hold anything."""

    traces: Traces
    catalog: Erased
    rows: int
    blobs: frozenset[str]
    datasets: tuple[str, ...]
    unreachable: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How much there is in each place."""
        events = {topic: self.traces.count(topic) for topic in self.traces.places}
        return events | {"blobs": len(self.blobs), "datasets": len(self.datasets), "catalog": self.rows}


@dataclass(frozen=True)
class Done:
    """What was erased, and what may be left elsewhere."""

    event: DataErased
    unreachable: tuple[str, ...]


async def find(settings: Settings, whose: Whose, progress: Progress) -> Found:
    """What an erasure would erase now."""
    catalog = Catalog(settings.database)
    try:
        with TemporaryDirectory() as scratch:
            log = await snapshot.take(settings, topics.archived(settings.tasks), Path(scratch))
            return await asyncio.to_thread(_find, settings, catalog, whose, log, log, progress)
    finally:
        catalog.close()


async def erase(settings: Settings, whose: Whose, requested_by: str, progress: Progress) -> Done:
    """Erase it. Raises `SetupError` when a part of the platform that is needed is not there, `Unavailable` when the
    database or the archive can't be written, OSError without the storage, KafkaError without a broker.
    """
    catalog = Catalog(settings.database)
    try:
        held = await caught_up(settings, lambda group, events: progress(f"waiting for {group}", 0, events))
        with TemporaryDirectory() as scratch:
            log = await snapshot.take(settings, topics.archived(settings.tasks), Path(scratch))
            archived = {topic: replace(taken, tail_files=()) for topic, taken in log.items()}
            found = await asyncio.to_thread(_find, settings, catalog, whose, archived, log, progress)
        counts, kept = await _erase(settings, catalog, whose, found, held, progress)
        said = DataErased(
            erasure_id=str(uuid.uuid4()),
            by="subject" if whose.actor is None else "actor",
            counts=counts,
            requested_by=requested_by,
        )
        await publish_all(settings, [_record(said)])
        # A replay that began before may have ended since: it looks for erasures after it has said where its dataset is.
        with TemporaryDirectory() as scratch:
            life = await snapshot.take(settings, [topics.LIFECYCLE], Path(scratch))
            rows = _reader(settings, life, "looking for datasets", progress)
            late, unreachable = await asyncio.to_thread(find_datasets, rows, whose, found.traces)
        kept |= await delete_datasets(late)
        return Done(said, tuple(sorted({*unreachable, *kept})))
    finally:
        catalog.close()


async def _erase(
    settings: Settings,
    catalog: Catalog,
    whose: Whose,
    found: Found,
    held: Mapping[TopicPartition, Held],
    progress: Progress,
) -> tuple[dict[str, int], set[str]]:
    """How much was erased in each place, and the datasets that can't be deleted."""
    rows = await asyncio.to_thread(catalog.erase, found.catalog)
    if whose.actor is not None:
        await _judge_again(settings, catalog, found.traces.predictions)
    await asyncio.to_thread(catalog.vacuum)
    kept = await delete_datasets(found.datasets)
    blobs = blob_store(settings)
    for number, digest in enumerate(sorted(found.blobs)):
        progress("deleting blobs", number, len(found.blobs))
        await asyncio.to_thread(blobs.delete, f"blob://sha256/{digest}")
    forgotten = await deletion.delete_beginnings(settings, _until(found.traces, held))
    events = 0
    archived = topics.archived(settings.tasks)[::-1]  # what is found by others goes before them
    for number, topic in enumerate(archived):
        progress("erasing from the archive", number, len(archived))
        places = found.traces.places.get(topic, {})
        events += await asyncio.to_thread(deletion.delete_rows, settings, topic, places)
        await asyncio.to_thread(deletion.vacuum, settings, topic)
    progress("erasing from the archive", len(archived), len(archived))
    return {
        "archive": events,
        "kafka": forgotten,
        "catalog": rows,
        "blobs": len(found.blobs),
        "datasets": len(found.datasets) - len(kept),
    }, kept


async def delete_datasets(locations: Collection[str]) -> set[str]:
    """Delete the rows of these; those where it isn't possible. None of them keeps the others from it."""
    kept = set()
    for location in locations:
        try:
            await asyncio.to_thread(dataset.delete_dataset, location)
        except OSError as error:
            log.warning("the dataset %s can't be deleted: %s", location, error)
            kept.add(location)
    return kept


def _find(
    settings: Settings,
    catalog: Catalog,
    whose: Whose,
    log: Mapping[str, Snapshot],
    whole: Mapping[str, Snapshot],
    progress: Progress,
) -> Found:
    """What is to be erased of `log`; `whole` has all events that may still need a blob."""
    traces = search(_reader(settings, log, "searching the log", progress), settings.tasks, whose)
    blobs = unclaimed(_reader(settings, whole, "looking for shared blobs", progress), whole, traces)
    datasets, unreachable = find_datasets(_reader(settings, whole, "looking for datasets", progress), whose, traces)
    erased = Erased(
        predictions=traces.rows,
        feedback=traces.feedback,
        outcomes=traces.predictions,
        dead_letters=traces.dead_letters,
    )
    return Found(traces, erased, catalog.count(erased), frozenset(blobs), datasets, unreachable)


def find_datasets(rows: Rows, whose: Whose, traces: Traces) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The datasets that have something of it, and those that can't be read."""
    datasets, unreachable = list[str](), list[str]()
    for location in _locations(rows):
        try:
            if deletion.has_rows(location, traces.predictions, whose.actor):
                datasets.append(location)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # damaged, or none of ours
            log.warning("the dataset %s can't be read: %s", location, error)
            unreachable.append(location)
    return tuple(datasets), tuple(unreachable)


def _reader(settings: Settings, log: Mapping[str, Snapshot], doing: str, progress: Progress) -> Rows:
    archive, read = Archive(settings), set[str]()

    def rows(topic: str, columns: Sequence[str], wanted: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        progress(doing, len(read), len(log))
        read.add(topic)
        with archive.readable(topic):
            batches = (
                log[topic]
                .dataset()
                .to_batches(
                    columns=list(columns), filter=wanted, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1
                )
            )
            for batch in batches:
                yield from batch.to_pylist()

    return rows


def _locations(rows: Rows) -> list[str]:
    """Where datasets were written to, as the log says."""
    built = pc.starts_with(ds.field("type"), versioned(DatasetBuilt.type)[0])
    found = set()
    for row in rows(topics.LIFECYCLE, ("type", "data"), built):
        with suppress(Rejected):  # what can't be read names no dataset of ours
            said = decode(row["type"], row["data"] or b"")
            if isinstance(said, DatasetBuilt):
                found.add(said.location)
    return sorted(found)


async def _judge_again(settings: Settings, catalog: Catalog, predictions: Collection[str]) -> None:
    """Publish the outcomes as they are without what was erased."""
    tasks, ordered = load(settings), sorted(predictions)
    for start in range(0, len(ordered), _ROWS):
        as_of = datetime.now(UTC)
        joined = await asyncio.to_thread(catalog.joined, ordered[start : start + _ROWS])
        known = [(task_of(one), events) for one, events in joined.items() if events.served is not None]
        judged = [judge(tasks[task], settings.of_task(task), events, as_of) for task, events in known if task in tasks]
        await publish_all(settings, [record_of(outcome, as_of) for outcome in judged if outcome is not None])


def _until(traces: Traces, held: Mapping[TopicPartition, Held]) -> dict[TopicPartition, int]:
    """Where the beginning that Kafka has to forget ends, by partition."""
    until = {}
    for topic, places in traces.places.items():
        for (epoch, partition), offsets in places.items():
            tp = TopicPartition(topic, partition)
            if tp in held and held[tp].epoch == epoch:
                until[tp] = max(offsets) + 1
    # What is repartitioned was read to its end, and is in the other topics.
    joins = {topics.joins(topic.rpartition(".")[0]) for topic in traces.places}
    return until | {tp: one.end for tp, one in held.items() if tp.topic in joins}


def _record(said: DataErased) -> Record:
    now = rfc3339(datetime.now(UTC).timestamp() * 1000)
    return said.record(topics.LIFECYCLE, None, id=said.erasure_id, source="hindsight/erase", time=now)
