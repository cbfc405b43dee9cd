"""Answers and skips records that decompress to more than Flink's heap holds, reading them within bounds.

Kafka limits the compressed size only. 600 MB of zeros travel as 0.6 MB, and Flink's source makes one array of them: it
runs out of memory before any of our code gets the record, again after each restart, and neither hands over nor commits
the records just before it. So when such a record is near, this module handles all records up to it: it becomes a dead
letter and an answer, the records before it are published again at the end of the log as the same events, and then the
group's offset is committed behind it.
"""

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction
from app.events.cloudevents import ConsumedRecord, Record, TopicId, event_identity, format_rfc3339
from app.events.types import Failure
from app.kafka import clients, record_parser
from app.kafka.lag import PREPROCESS_GROUP
from app.kafka.producers import open_producer, publish_confirmed
from app.kafka.reader import fetch_offset_ranges, to_consumed_record
from app.preprocess.preprocessor import MAX_KEY_BYTES, STAGE
from app.settings import Settings

MAX_LOOKAHEAD_RECORDS = 50_000
"""How far to read in a partition: a job that gets this far without dying commits offsets meanwhile."""
_CHUNK_RECORDS = 100
_POLL_TIMEOUT_MS = 5000


async def skip_oversized(settings: Settings, task: str) -> int:
    """Skip the requests soon after a task's committed offsets that Flink can't read. Return how many were skipped.

    The task's job must not run meanwhile. Raises KafkaError, OSError: then no unanswered request is skipped.
    """
    skipped = 0
    consumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with open_producer(settings) as producer:
            for partition, log in (await fetch_offset_ranges(settings, [topics.requests(task)])).items():
                begin = max(await consumer.committed(partition) or 0, log.begin)
                end = min(log.end, begin + MAX_LOOKAHEAD_RECORDS)
                last = None
                async for chunk in _read(consumer, partition, log.topic_id, begin, end):
                    last = max(
                        (record.origin.offset for record in chunk if oversize_reason(settings, record)), default=last
                    )
                if last is None:
                    continue
                async for chunk in _read(consumer, partition, log.topic_id, begin, last + 1):
                    skipped += await _skip_chunk(settings, task, chunk, producer)
                await consumer.commit({partition: last + 1})
    finally:
        await consumer.stop()
    return skipped


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, topic_id: TopicId, begin: int, end: int
) -> AsyncIterator[Sequence[ConsumedRecord]]:
    """Yield the records from `begin` to before `end` in small chunks; stop early if no more come in time."""
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while await consumer.position(partition) < end:
        batches = await consumer.getmany(partition, timeout_ms=_POLL_TIMEOUT_MS, max_records=_CHUNK_RECORDS)
        if not batches:
            return
        yield [to_consumed_record(record, topic_id) for record in batches[partition] if record.offset < end]


async def _skip_chunk(
    settings: Settings, task: str, chunk: Sequence[ConsumedRecord], producer: AIOKafkaProducer
) -> int:
    outputs: list[Record] = []
    rejected = 0
    for record in chunk:
        reason = oversize_reason(settings, record)
        outputs += [build_republished(record)] if reason is None else build_rejection(task, record, reason)
        rejected += reason is not None
    for error in await publish_confirmed(producer, outputs):
        if error is not None:
            raise error
    return rejected


def oversize_reason(settings: Settings, record: ConsumedRecord) -> str | None:
    """Return why Flink can't read the record; None if it can."""
    unreadable = dict(record.headers).get(record_parser.UNREADABLE_HEADER)
    if unreadable is not None:
        return f"the record, or the batch that it came in, is too large when decompressed: {unreadable.decode()}"
    size, limit = len(record.value or b""), settings.max_payload_bytes
    return f"the record decompresses to {size:,} bytes; at most {limit:,} are taken" if size > limit else None


def build_rejection(task: str, record: ConsumedRecord, reason: str) -> list[Record]:
    """Return the dead letter of a record, and the answer to it."""
    origin = record.origin
    event_id = event_identity(record.headers, origin)
    failure = Failure(stage=STAGE, code="too_large", reason=f"offset {origin.offset}: {reason}")
    original = Record(origin.topic, record.key, record.value, record.headers)
    reference, letter = build_dead_letter(original, origin, failure, event_id)
    key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
    return [letter, build_failed_prediction(task, event_id, failure, reference, key, None)]


def build_republished(record: ConsumedRecord) -> Record:
    """Return the record to publish again: the same event, with its identity and time."""
    source, event_id = event_identity(record.headers, record.origin)
    defaults = {"ce_source": source, "ce_id": event_id, "ce_time": format_rfc3339(record.origin.timestamp_ms)}
    names = {name for name, _ in record.headers}
    added = tuple((name, text.encode()) for name, text in defaults.items() if name not in names)
    return Record(record.origin.topic, record.key, record.value, record.headers + added)
