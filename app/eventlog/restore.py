"""Restore of `lifecycle` after the loss of Kafka: its archived events (versions, routes, runs) are published again.

The other topics need none of this: what they held is read from the archive wherever history is read. The registry is
read from Kafka alone, because each process reads it at each start.
"""

from collections.abc import Iterable
from operator import itemgetter

from app.errors import SetupError
from app.eventlog.archive import Archive
from app.eventlog.snapshot import RECORD_COLUMNS, records_from_batch
from app.events.cloudevents import ConsumedRecord, Record, event_identity
from app.events.topics import LIFECYCLE
from app.kafka import reader
from app.kafka.producers import publish_all
from app.settings import Settings
from app.storage.blob_store import blob_store

EventIdentity = tuple[str, str]
"""Source and id."""


async def restore_lifecycle(settings: Settings) -> int:
    """Publish the archived events of `lifecycle` that Kafka lacks, in their order; return how many.

    The topic must exist. It may be repeated: after an interruption it goes on. Raises `SetupError` if Kafka's events
    are not the beginning of the archived ones, KafkaError, `Unavailable` without the archive's storage.
    """
    in_kafka = [record async for records in reader.read_topic(settings, LIFECYCLE) for record in records]
    archived, present = _by_identity(_read_archive(settings)), list(_by_identity(in_kafka))
    if set(archived) <= set(present):
        return 0
    if present != list(archived)[: len(present)]:
        raise SetupError(
            f"{LIFECYCLE} has {len(present)} events that are not the first of the {len(archived)} archived ones: this "
            "cluster has a history of its own.",
            "Restore into a cluster without this platform's topics, before anything else uses it.",
        )
    missing = list(archived.values())[len(present) :]
    await publish_all(settings, [Record(LIFECYCLE, record.key, record.value, record.headers) for record in missing])
    return len(missing)


def _by_identity(records: Iterable[ConsumedRecord]) -> dict[EventIdentity, ConsumedRecord]:
    """Return the first record of each event, in their order: an earlier restore archived some again."""
    found: dict[EventIdentity, ConsumedRecord] = {}
    for record in records:
        found.setdefault(event_identity(record.headers, record.origin), record)
    return found


def _read_archive(settings: Settings) -> list[ConsumedRecord]:
    """Return the archived records in the log's order: one topic of this name after the other, each by offset."""
    table = Archive(settings).table(LIFECYCLE)
    if table is None:
        return []
    blobs, records = blob_store(settings), list[ConsumedRecord]()
    for batch in table.to_pyarrow_dataset().to_batches(columns=RECORD_COLUMNS):
        records += records_from_batch(batch, blobs, settings.max_blob_bytes)
    began: dict[str, int] = {}
    for record in records:
        origin = record.origin
        began[origin.topic_id] = min(origin.timestamp_ms, began.get(origin.topic_id, origin.timestamp_ms))
    placed = [
        ((began[record.origin.topic_id], record.origin.topic_id, record.origin.offset), record) for record in records
    ]
    return [record for _, record in sorted(placed, key=itemgetter(0))]
