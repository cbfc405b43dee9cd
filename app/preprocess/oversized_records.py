"""Records that expand to more than Flink's heap takes: read within bounds, answered, and skipped.

The limits of Kafka see what travels. 600 MB of zeros travel as 0.6 MB, and Flink's source makes one array of them: it
runs out of memory before any of our code sees the record, and again after each restart. Nor does it hand over, or
commit, what it read shortly before. So where such a record is near, all up to it is dealt with here: it becomes a dead
letter and an answer, the records before it are published again, behind the others, as the same events; then the
group's offset is committed behind it.
"""

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction
from app.events.cloudevents import ConsumedRecord, Record, TopicId, event_identity, format_rfc3339
from app.events.types import Failure
from app.kafka import clients, record_parser
from app.kafka.lag import PREPROCESS_GROUP
from app.kafka.producers import RecordSender, open_producer, publish_confirmed
from app.kafka.reader import fetch_offset_ranges, to_consumed_record
from app.preprocess.preprocessor import MAX_KEY_BYTES, STAGE
from app.settings import Settings

MAX_LOOKAHEAD_RECORDS = 50_000
"""Records of a partition that are looked at: a job that gets as far as that without dying commits some meanwhile."""
_CHUNK_RECORDS = 100
_POLL_TIMEOUT_MS = 5000


async def skip_oversized(settings: Settings, task: str) -> int:
    """Skip the requests of a task, not far behind the committed offsets, that Flink can't read; returns how many.

    The task's job must not run meanwhile. Raises KafkaError, OSError: what isn't answered isn't skipped.
    """
    skipped = 0
    consumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with open_producer(settings) as send:
            for partition, log in (await fetch_offset_ranges(settings, [topics.requests(task)])).items():
                begin = max(await consumer.committed(partition) or 0, log.begin)
                last = None
                async for some in _read(
                    consumer, partition, log.topic_id, begin, min(log.end, begin + MAX_LOOKAHEAD_RECORDS)
                ):
                    last = max(
                        (record.origin.offset for record in some if oversize_reason(settings, record)), default=last
                    )
                if last is None:
                    continue
                async for some in _read(consumer, partition, log.topic_id, begin, last + 1):
                    skipped += await _skip_batch(settings, task, some, send)
                await consumer.commit({partition: last + 1})
    finally:
        await consumer.stop()
    return skipped


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, epoch: TopicId, begin: int, end: int
) -> AsyncIterator[Sequence[ConsumedRecord]]:
    """The records from `begin` to before `end`, a few at a time; to where nothing more comes, if that is earlier."""
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while await consumer.position(partition) < end:
        found = await consumer.getmany(partition, timeout_ms=_POLL_TIMEOUT_MS, max_records=_CHUNK_RECORDS)
        if not found:
            return
        yield [to_consumed_record(record, epoch) for record in found[partition] if record.offset < end]


async def _skip_batch(settings: Settings, task: str, some: Sequence[ConsumedRecord], send: RecordSender) -> int:
    made: list[Record] = []
    refused = 0
    for record in some:
        reason = oversize_reason(settings, record)
        made += [build_republished(record)] if reason is None else build_rejection(task, record, reason)
        refused += reason is not None
    for error in await publish_confirmed(send, made):
        if error is not None:
            raise error
    return refused


def oversize_reason(settings: Settings, record: ConsumedRecord) -> str | None:
    """Why Flink can't be given the record; None where it can."""
    unreadable = dict(record.headers).get(record_parser.UNREADABLE_HEADER)
    if unreadable is not None:
        return f"the record, or the batch that it came in, expands too far: {unreadable.decode()}"
    size, most = len(record.value or b""), settings.max_payload_bytes
    return f"the record expands to {size:,} bytes; at most {most:,} are taken" if size > most else None


def build_rejection(task: str, record: ConsumedRecord, reason: str) -> list[Record]:
    """The dead letter of a record, and the answer to it."""
    origin = record.origin
    unique = event_identity(record.headers, origin)
    failure = Failure(stage=STAGE, code="too_large", reason=f"offset {origin.offset}: {reason}")
    original = Record(origin.topic, record.key, record.value, record.headers)
    reference, letter = build_dead_letter(original, origin, failure, unique)
    key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
    return [letter, build_failed_prediction(task, unique, failure, reference, key, None)]


def build_republished(record: ConsumedRecord) -> Record:
    """A record to be published once more: the same event, which keeps the identity and the time that it had."""
    source, unique = event_identity(record.headers, record.origin)
    filled = {"ce_source": source, "ce_id": unique, "ce_time": format_rfc3339(record.origin.timestamp_ms)}
    said = dict(record.headers)
    added = tuple((name, text.encode()) for name, text in filled.items() if name not in said)
    return Record(record.origin.topic, record.key, record.value, record.headers + added)
