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
from app.events.answers import dead_letter, failed
from app.events.cloudevents import Incoming, LogEpoch, Record, identity, rfc3339
from app.events.types import Failure
from app.kafka import clients, record_parser
from app.kafka.lag import PREPROCESS_GROUP
from app.kafka.producers import Send, publish_confirmed, publisher
from app.kafka.reader import held, incoming
from app.preprocess.preprocessor import MAX_KEY, STAGE
from app.settings import Settings

AHEAD = 50_000
"""Records of a partition that are looked at: a job that gets as far as that without dying commits some meanwhile."""
_CHUNK = 100
_PATIENCE_MS = 5000


async def skip_oversized(settings: Settings, task: str) -> int:
    """Skip the requests of a task, not far behind the committed offsets, that Flink can't read; returns how many.

    The task's job must not run meanwhile. Raises KafkaError, OSError: what isn't answered isn't skipped.
    """
    skipped = 0
    consumer = clients.consumer(settings, group_id=PREPROCESS_GROUP, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with publisher(settings) as send:
            for partition, log in (await held(settings, [topics.requests(task)])).items():
                begin = max(await consumer.committed(partition) or 0, log.begin)
                last = None
                async for some in _read(consumer, partition, log.epoch, begin, min(log.end, begin + AHEAD)):
                    last = max((record.origin.offset for record in some if refusal(settings, record)), default=last)
                if last is None:
                    continue
                async for some in _read(consumer, partition, log.epoch, begin, last + 1):
                    skipped += await _deal_with(settings, task, some, send)
                await consumer.commit({partition: last + 1})
    finally:
        await consumer.stop()
    return skipped


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, epoch: LogEpoch, begin: int, end: int
) -> AsyncIterator[Sequence[Incoming]]:
    """The records from `begin` to before `end`, a few at a time; to where nothing more comes, if that is earlier."""
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while await consumer.position(partition) < end:
        found = await consumer.getmany(partition, timeout_ms=_PATIENCE_MS, max_records=_CHUNK)
        if not found:
            return
        yield [incoming(record, epoch) for record in found[partition] if record.offset < end]


async def _deal_with(settings: Settings, task: str, some: Sequence[Incoming], send: Send) -> int:
    made: list[Record] = []
    refused = 0
    for record in some:
        reason = refusal(settings, record)
        made += [again(record)] if reason is None else answer(task, record, reason)
        refused += reason is not None
    for error in await publish_confirmed(send, made):
        if error is not None:
            raise error
    return refused


def refusal(settings: Settings, record: Incoming) -> str | None:
    """Why Flink can't be given the record; None where it can."""
    unreadable = dict(record.headers).get(record_parser.UNREADABLE)
    if unreadable is not None:
        return f"the record, or the batch that it came in, expands too far: {unreadable.decode()}"
    size, most = len(record.value or b""), settings.max_payload_bytes
    return f"the record expands to {size:,} bytes; at most {most:,} are taken" if size > most else None


def answer(task: str, record: Incoming, reason: str) -> list[Record]:
    """The dead letter of a record, and the answer to it."""
    origin = record.origin
    unique = identity(record.headers, origin)
    failure = Failure(stage=STAGE, code="too_large", reason=f"offset {origin.offset}: {reason}")
    original = Record(origin.topic, record.key, record.value, record.headers)
    reference, letter = dead_letter(original, origin, failure, unique)
    key = record.key if len(record.key or b"") <= MAX_KEY else None
    return [letter, failed(task, unique, failure, reference, key, None)]


def again(record: Incoming) -> Record:
    """A record to be published once more: the same event, which keeps the identity and the time that it had."""
    source, unique = identity(record.headers, record.origin)
    filled = {"ce_source": source, "ce_id": unique, "ce_time": rfc3339(record.origin.timestamp_ms)}
    said = dict(record.headers)
    added = tuple((name, text.encode()) for name, text in filled.items() if name not in said)
    return Record(record.origin.topic, record.key, record.value, record.headers + added)
