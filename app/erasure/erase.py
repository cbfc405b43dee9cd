"""Erasure of a person's data from the whole platform.

1. wait until everything in the log was read by every consumer group and archived
2. search the archive for the person's events, by which all other data is found
3. erase the rows of the catalog; for an actor, republish the outcomes of the predictions on which they gave feedback
4. erase datasets with rows of these predictions, and blobs that no other event claims
5. delete the records from Kafka: only the beginning of a partition can be deleted, and it stays in the archive
6. erase the events from the archive, and the files that held them
7. publish that the erasure is done, without the data

Events in the archive are needed to find everything else, and some events to find others. They are erased last, requests
at the very end, so that an interrupted erasure is completed by running it again.
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
from app.settings.namespace import qualify
from app.storage.blob_store import blob_store
from app.tasks import load_tasks
from models.base import Rejected

ErasureProgress = Callable[[str, int, int], None]
"""Called with the current step, the amount done, and the total."""

_BATCH_ROWS = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErasurePlan:
    """The data to erase. It is unknown whether the `unreachable_datasets` contain personal data."""

    personal_data: PersonalData
    catalog: RowsToErase
    catalog_rows: int
    blobs: frozenset[str]
    datasets: tuple[str, ...]
    unreachable_datasets: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return the number of items in each place."""
        events = {topic: self.personal_data.count(topic) for topic in self.personal_data.positions}
        return events | {"blobs": len(self.blobs), "datasets": len(self.datasets), "catalog": self.catalog_rows}


@dataclass(frozen=True)
class ErasureResult:
    """The published event, and the datasets that may still contain personal data."""

    event: DataErased
    unreachable_datasets: tuple[str, ...]


async def plan_erasure(settings: Settings, data_subject: DataSubject, progress: ErasureProgress) -> ErasurePlan:
    """Return what an erasure would erase now."""
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
    """Erase the data of a person.

    Raises `SetupError` if a required part of the platform is not running, `Unavailable` if the database or the archive
    can't be written, OSError without the storage, KafkaError without a broker.
    """
    catalog = Catalog(settings.catalog_url)
    try:
        offset_ranges = await wait_until_caught_up(
            settings, lambda group, events: progress(f"waiting for {group}", 0, events)
        )
        with TemporaryDirectory() as scratch:
            log = await snapshot.take(settings, topics.archived_topics(settings.tasks), Path(scratch))
            archived = {topic: replace(topic_snapshot, tail_files=()) for topic, topic_snapshot in log.items()}
            plan = await asyncio.to_thread(_plan, settings, catalog, data_subject, archived, log, progress)
        counts, undeleted = await _erase(settings, catalog, data_subject, plan, offset_ranges, progress)
        event = DataErased(
            erasure_id=str(uuid.uuid4()),
            by="subject" if data_subject.actor is None else "actor",
            counts=counts,
            requested_by=requested_by,
        )
        await publish_all(settings, [_build_record(event)])
        # A replay may have ended meanwhile: it publishes its dataset's location first, and then checks for erasures.
        with TemporaryDirectory() as scratch:
            lifecycle = await snapshot.take(settings, [topics.LIFECYCLE], Path(scratch))
            rows = _row_reader(settings, lifecycle, "looking for datasets", progress)
            late_datasets, unreachable = await asyncio.to_thread(find_datasets, rows, data_subject, plan.personal_data)
        undeleted |= await delete_datasets(late_datasets)
        return ErasureResult(event, tuple(sorted({*unreachable, *undeleted})))
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
    """Erase the planned data; return the number of erased items by place, and the datasets that can't be deleted."""
    rows = await asyncio.to_thread(catalog.erase, plan.catalog)
    if data_subject.actor is not None:
        await _republish_outcomes(settings, catalog, plan.personal_data.predictions)
    await asyncio.to_thread(catalog.vacuum)
    undeleted = await delete_datasets(plan.datasets)
    blobs = blob_store(settings)
    for number, digest in enumerate(sorted(plan.blobs)):
        progress("deleting blobs", number, len(plan.blobs))
        await asyncio.to_thread(blobs.delete, f"blob://sha256/{digest}")
    deleted_records = await deletion.delete_before_offsets(
        settings, _deletion_offsets(plan.personal_data, offset_ranges)
    )
    events = 0
    archived = topics.archived_topics(settings.tasks)[::-1]  # events go before those by which they are found
    for number, topic in enumerate(archived):
        progress("erasing from the archive", number, len(archived))
        positions = plan.personal_data.positions.get(topic, {})
        events += await asyncio.to_thread(deletion.delete_rows, settings, topic, positions)
        await asyncio.to_thread(deletion.vacuum, settings, topic)
    progress("erasing from the archive", len(archived), len(archived))
    return {
        "archive": events,
        "kafka": deleted_records,
        "catalog": rows,
        "blobs": len(plan.blobs),
        "datasets": len(plan.datasets) - len(undeleted),
    }, undeleted


async def delete_datasets(locations: Collection[str]) -> set[str]:
    """Delete the rows of these datasets; return those that can't be deleted."""
    undeleted = set()
    for location in locations:
        try:
            await asyncio.to_thread(dataset.delete_dataset, location)
        except OSError as error:
            log.warning("the dataset %s can't be deleted: %s", location, error)
            undeleted.add(location)
    return undeleted


def _plan(
    settings: Settings,
    catalog: Catalog,
    data_subject: DataSubject,
    log: Mapping[str, Snapshot],
    full_log: Mapping[str, Snapshot],
    progress: ErasureProgress,
) -> ErasurePlan:
    """Return the plan for the data in `log`; `full_log` has all events that may still need a blob."""
    personal_data = search(_row_reader(settings, log, "searching the log", progress), settings.tasks, data_subject)
    blobs = find_unclaimed_blobs(
        _row_reader(settings, full_log, "looking for shared blobs", progress), full_log, personal_data
    )
    datasets, unreachable = find_datasets(
        _row_reader(settings, full_log, "looking for datasets", progress), data_subject, personal_data
    )
    catalog_rows = RowsToErase(
        predictions=personal_data.catalog_predictions,
        feedback=personal_data.feedback,
        retractions=personal_data.retractions,
        outcomes=personal_data.predictions,
        dead_letters=personal_data.dead_letters,
    )
    return ErasurePlan(
        personal_data, catalog_rows, catalog.count(catalog_rows), frozenset(blobs), datasets, unreachable
    )


def find_datasets(
    rows: RowReader, data_subject: DataSubject, personal_data: PersonalData
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the datasets with personal data, and those that can't be read."""
    datasets, unreachable = list[str](), list[str]()
    for location in _dataset_locations(rows):
        try:
            if deletion.has_rows(location, personal_data.predictions, data_subject.actor):
                datasets.append(location)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # damaged, or not a dataset
            log.warning("the dataset %s can't be read: %s", location, error)
            unreachable.append(location)
    return tuple(datasets), tuple(unreachable)


def _row_reader(settings: Settings, log: Mapping[str, Snapshot], step: str, progress: ErasureProgress) -> RowReader:
    archive, read = Archive(settings), set[str]()

    def rows(topic: str, columns: Sequence[str], condition: ds.Expression | None) -> Iterator[Mapping[str, Any]]:
        progress(step, len(read), len(log))
        read.add(topic)
        with archive.diagnose_errors(topic):
            batches = (
                log[topic]
                .dataset()
                .to_batches(
                    columns=list(columns),
                    filter=condition,
                    batch_size=_BATCH_ROWS,
                    batch_readahead=1,
                    fragment_readahead=1,
                )
            )
            for batch in batches:
                yield from batch.to_pylist()

    return rows


def _dataset_locations(rows: RowReader) -> list[str]:
    """Return the locations of all datasets in the log."""
    condition = pc.starts_with(ds.field("type"), split_version(DatasetBuilt.type)[0])
    locations = set()
    for row in rows(topics.LIFECYCLE, ("type", "data"), condition):
        with suppress(Rejected):  # an unreadable event names no dataset
            event_data = decode(row["type"], row["data"] or b"")
            if isinstance(event_data, DatasetBuilt):
                locations.add(event_data.location)
    return sorted(locations)


async def _republish_outcomes(settings: Settings, catalog: Catalog, predictions: Collection[str]) -> None:
    """Publish the outcomes of these predictions without the erased feedback."""
    tasks, ordered = load_tasks(settings), sorted(predictions)
    for start in range(0, len(ordered), _BATCH_ROWS):
        as_of = datetime.now(UTC)
        histories = await asyncio.to_thread(catalog.prediction_histories, ordered[start : start + _BATCH_ROWS])
        served = [
            (task_of(prediction), history) for prediction, history in histories.items() if history.served is not None
        ]
        outcomes = [
            build_outcome(tasks[task], settings.for_task(task), history, as_of)
            for task, history in served
            if task in tasks
        ]
        await publish_all(
            settings, [build_outcome_record(outcome, as_of) for outcome in outcomes if outcome is not None]
        )


def _deletion_offsets(
    personal_data: PersonalData, offset_ranges: Mapping[TopicPartition, OffsetRange]
) -> dict[TopicPartition, int]:
    """Return the end of the records to delete from Kafka, by partition."""
    ends = {}
    for topic, positions in personal_data.positions.items():
        for (topic_id, partition), offsets in positions.items():
            tp = TopicPartition(topic, partition)
            if tp in offset_ranges and offset_ranges[tp].topic_id == topic_id:
                ends[tp] = max(offsets) + 1
    # Repartitioned records were read to the end, and are copies of those in other topics.
    joins = {topics.joins(topics.task_of(topic)) for topic in personal_data.positions}
    return ends | {tp: offset_range.end for tp, offset_range in offset_ranges.items() if tp.topic in joins}


def _build_record(event: DataErased) -> Record:
    now = format_rfc3339(datetime.now(UTC).timestamp() * 1000)
    return event.to_record(topics.LIFECYCLE, None, id=event.erasure_id, source=qualify("hindsight/erase"), time=now)
