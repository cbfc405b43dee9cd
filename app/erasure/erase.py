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
from app.catalog.erasure import RowsToErase
from app.erasure import deletion
from app.erasure.catch_up import wait_until_caught_up
from app.erasure.search import DataSubject, PersonalData, RowReader, find_unclaimed_blobs, search
from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.eventlog.snapshot import Snapshot
from app.events import topics
from app.events.cloudevents import Record, format_rfc3339, split_version
from app.events.decoding import decode
from app.events.ids import task_of
from app.events.lifecycle import DataErased
from app.events.model_events import DatasetBuilt
from app.kafka.producers import publish_all
from app.kafka.reader import OffsetRange
from app.outcomes.label_aggregation import build_outcome, build_outcome_record
from app.replay import dataset
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.tasks import load_tasks
from models.base import Rejected

ErasureProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is to do."""

_BATCH_ROWS = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErasurePlan:
    """All that is to be erased. Of the datasets in `unreachable` it is not known whether they hold anything."""

    personal_data: PersonalData
    catalog: RowsToErase
    catalog_rows: int
    blobs: frozenset[str]
    datasets: tuple[str, ...]
    unreachable_datasets: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How much there is in each place."""
        events = {topic: self.personal_data.count(topic) for topic in self.personal_data.positions}
        return events | {"blobs": len(self.blobs), "datasets": len(self.datasets), "catalog": self.catalog_rows}


@dataclass(frozen=True)
class ErasureResult:
    """What was erased, and what may be left elsewhere."""

    event: DataErased
    unreachable_datasets: tuple[str, ...]


async def plan_erasure(settings: Settings, data_subject: DataSubject, progress: ErasureProgress) -> ErasurePlan:
    """What an erasure would erase now."""
    catalog = Catalog(settings.catalog_url)
    try:
        with TemporaryDirectory() as scratch:
            log = await snapshot.take(settings, topics.archived_topics(settings.tasks), Path(scratch))
            return await asyncio.to_thread(_plan, settings, catalog, data_subject, log, log, progress)
    finally:
        catalog.close()


async def erase(
    settings: Settings, data_subject: DataSubject, requested_by: str, progress: ErasureProgress
) -> ErasureResult:
    """Erase it. Raises `SetupError` when a part of the platform that is needed is not there, `Unavailable` when the
    database or the archive can't be written, OSError without the storage, KafkaError without a broker.
    """
    catalog = Catalog(settings.catalog_url)
    try:
        held = await wait_until_caught_up(settings, lambda group, events: progress(f"waiting for {group}", 0, events))
        with TemporaryDirectory() as scratch:
            log = await snapshot.take(settings, topics.archived_topics(settings.tasks), Path(scratch))
            archived = {topic: replace(taken, tail_files=()) for topic, taken in log.items()}
            found = await asyncio.to_thread(_plan, settings, catalog, data_subject, archived, log, progress)
        counts, kept = await _erase(settings, catalog, data_subject, found, held, progress)
        said = DataErased(
            erasure_id=str(uuid.uuid4()),
            by="subject" if data_subject.actor is None else "actor",
            counts=counts,
            requested_by=requested_by,
        )
        await publish_all(settings, [_build_record(said)])
        # A replay that began before may have ended since: it looks for erasures after it has said where its dataset is.
        with TemporaryDirectory() as scratch:
            life = await snapshot.take(settings, [topics.LIFECYCLE], Path(scratch))
            rows = _row_reader(settings, life, "looking for datasets", progress)
            late, unreachable = await asyncio.to_thread(find_datasets, rows, data_subject, found.personal_data)
        kept |= await delete_datasets(late)
        return ErasureResult(said, tuple(sorted({*unreachable, *kept})))
    finally:
        catalog.close()


async def _erase(
    settings: Settings,
    catalog: Catalog,
    data_subject: DataSubject,
    plan: ErasurePlan,
    offset_ranges: Mapping[TopicPartition, OffsetRange],
    progress: ErasureProgress,
) -> tuple[dict[str, int], set[str]]:
    """How much was erased in each place, and the datasets that can't be deleted."""
    rows = await asyncio.to_thread(catalog.erase, plan.catalog)
    if data_subject.actor is not None:
        await _republish_outcomes(settings, catalog, plan.personal_data.predictions)
    await asyncio.to_thread(catalog.vacuum)
    kept = await delete_datasets(plan.datasets)
    blobs = blob_store(settings)
    for number, digest in enumerate(sorted(plan.blobs)):
        progress("deleting blobs", number, len(plan.blobs))
        await asyncio.to_thread(blobs.delete, f"blob://sha256/{digest}")
    forgotten = await deletion.delete_before_offsets(settings, _deletion_offsets(plan.personal_data, offset_ranges))
    events = 0
    archived = topics.archived_topics(settings.tasks)[::-1]  # what is found by others goes before them
    for number, topic in enumerate(archived):
        progress("erasing from the archive", number, len(archived))
        places = plan.personal_data.positions.get(topic, {})
        events += await asyncio.to_thread(deletion.delete_rows, settings, topic, places)
        await asyncio.to_thread(deletion.vacuum, settings, topic)
    progress("erasing from the archive", len(archived), len(archived))
    return {
        "archive": events,
        "kafka": forgotten,
        "catalog": rows,
        "blobs": len(plan.blobs),
        "datasets": len(plan.datasets) - len(kept),
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


def _plan(
    settings: Settings,
    catalog: Catalog,
    data_subject: DataSubject,
    log: Mapping[str, Snapshot],
    full_log: Mapping[str, Snapshot],
    progress: ErasureProgress,
) -> ErasurePlan:
    """What is to be erased of `log`; `whole` has all events that may still need a blob."""
    traces = search(_row_reader(settings, log, "searching the log", progress), settings.tasks, data_subject)
    blobs = find_unclaimed_blobs(
        _row_reader(settings, full_log, "looking for shared blobs", progress), full_log, traces
    )
    datasets, unreachable = find_datasets(
        _row_reader(settings, full_log, "looking for datasets", progress), data_subject, traces
    )
    erased = RowsToErase(
        predictions=traces.catalog_predictions,
        feedback=traces.feedback,
        outcomes=traces.predictions,
        dead_letters=traces.dead_letters,
    )
    return ErasurePlan(traces, erased, catalog.count(erased), frozenset(blobs), datasets, unreachable)


def find_datasets(
    rows: RowReader, data_subject: DataSubject, personal_data: PersonalData
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The datasets that have something of it, and those that can't be read."""
    datasets, unreachable = list[str](), list[str]()
    for location in _dataset_locations(rows):
        try:
            if deletion.has_rows(location, personal_data.predictions, data_subject.actor):
                datasets.append(location)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # damaged, or none of ours
            log.warning("the dataset %s can't be read: %s", location, error)
            unreachable.append(location)
    return tuple(datasets), tuple(unreachable)


def _row_reader(settings: Settings, log: Mapping[str, Snapshot], doing: str, progress: ErasureProgress) -> RowReader:
    archive, read = Archive(settings), set[str]()

    def rows(topic: str, columns: Sequence[str], wanted: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        progress(doing, len(read), len(log))
        read.add(topic)
        with archive.diagnose_errors(topic):
            batches = (
                log[topic]
                .dataset()
                .to_batches(
                    columns=list(columns),
                    filter=wanted,
                    batch_size=_BATCH_ROWS,
                    batch_readahead=1,
                    fragment_readahead=1,
                )
            )
            for batch in batches:
                yield from batch.to_pylist()

    return rows


def _dataset_locations(rows: RowReader) -> list[str]:
    """Where datasets were written to, as the log says."""
    built = pc.starts_with(ds.field("type"), split_version(DatasetBuilt.type)[0])
    found = set()
    for row in rows(topics.LIFECYCLE, ("type", "data"), built):
        with suppress(Rejected):  # what can't be read names no dataset of ours
            said = decode(row["type"], row["data"] or b"")
            if isinstance(said, DatasetBuilt):
                found.add(said.location)
    return sorted(found)


async def _republish_outcomes(settings: Settings, catalog: Catalog, predictions: Collection[str]) -> None:
    """Publish the outcomes as they are without what was erased."""
    tasks, ordered = load_tasks(settings), sorted(predictions)
    for start in range(0, len(ordered), _BATCH_ROWS):
        as_of = datetime.now(UTC)
        joined = await asyncio.to_thread(catalog.prediction_histories, ordered[start : start + _BATCH_ROWS])
        known = [(task_of(one), events) for one, events in joined.items() if events.served is not None]
        judged = [
            build_outcome(tasks[task], settings.for_task(task), events, as_of)
            for task, events in known
            if task in tasks
        ]
        await publish_all(settings, [build_outcome_record(outcome, as_of) for outcome in judged if outcome is not None])


def _deletion_offsets(
    personal_data: PersonalData, offset_ranges: Mapping[TopicPartition, OffsetRange]
) -> dict[TopicPartition, int]:
    """Where the beginning that Kafka has to forget ends, by partition."""
    until = {}
    for topic, places in personal_data.positions.items():
        for (epoch, partition), offsets in places.items():
            tp = TopicPartition(topic, partition)
            if tp in offset_ranges and offset_ranges[tp].topic_id == epoch:
                until[tp] = max(offsets) + 1
    # What is repartitioned was read to its end, and is in the other topics.
    joins = {topics.joins(topic.rpartition(".")[0]) for topic in personal_data.positions}
    return until | {tp: one.end for tp, one in offset_ranges.items() if tp.topic in joins}


def _build_record(event: DataErased) -> Record:
    now = format_rfc3339(datetime.now(UTC).timestamp() * 1000)
    return event.to_record(topics.LIFECYCLE, None, id=event.erasure_id, source="hindsight/erase", time=now)
