"""Redelivery of dead letters to their topics.

A redelivered record has the original's key, value, headers, partition and identity: its prediction gets the id that it
would have had, and supersedes the failed one. A header names the dead letter, which is how redeliveries are counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.dead_letters.letter import DeadLetterEntry
from app.dead_letters.store import REPLAY_OF_HEADER
from app.errors import SetupError, Unpublishable
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Record, format_rfc3339
from app.events.types import EventRejected
from app.kafka import clients
from app.kafka.producers import publish_confirmed
from app.settings import MiB, Settings

_CHUNK_SIZE = 100
_CHUNK_BYTES = 32 * MiB


@dataclass(frozen=True)
class RedeliveryResult:
    """The number of redelivered records, and the broker's reason for each refused one."""

    redelivered: int
    refused: tuple[tuple[str, str], ...]


async def redeliver(
    settings: Settings,
    originals: Iterable[tuple[DeadLetterEntry, ConsumedRecord]],
    progress: Callable[[int], None] = lambda count: None,
) -> RedeliveryResult:
    """Publish the originals again, in this order. Raises `SetupError` if the broker doesn't confirm."""
    producer = clients.create_producer(settings, max_request_size=topics.max_message_bytes(settings) + MiB)
    await producer.start()
    try:
        published, refused = 0, list[tuple[str, str]]()
        for chunk in _chunks(originals):
            partitions = [letter.partition for letter, _ in chunk]
            errors = await publish_confirmed(producer, [record for _, record in chunk], partitions)
            for (letter, _), error in zip(chunk, errors, strict=True):
                if error is None:
                    published += 1
                elif isinstance(error, Unpublishable):
                    refused.append((letter.id, str(error)))
                else:
                    raise SetupError(
                        f"Kafka did not confirm the redelivery of {letter.id}: {error!r}; {published} are done.",
                        "Run this again when Kafka is available: redelivered ones are skipped.",
                    )
            progress(len(chunk))
        return RedeliveryResult(published, tuple(refused))
    finally:
        await producer.stop()


def build_record(letter: DeadLetterEntry, record: ConsumedRecord) -> Record:
    """Return the original record with its own or filled-in identity and time, and the id of its dead letter."""
    excluded = {*EventRejected.headers, REPLAY_OF_HEADER}
    headers = [(name, value) for name, value in record.headers if name not in excluded]
    source, event_id = letter.event_identity
    attributes = {"ce_source": source, "ce_id": event_id, "ce_time": format_rfc3339(letter.logged.timestamp() * 1000)}
    if letter.topic == topics.joins(letter.task):  # its `joined_*` headers are read from the end
        attributes = {}
    attributes = {name: value for name, value in attributes.items() if name not in dict(headers)} | {
        REPLAY_OF_HEADER: letter.id
    }
    new_headers = [(name, value.encode()) for name, value in attributes.items()]
    return Record(letter.topic, record.key, record.value, (*new_headers, *headers))


def check_redeliverable(settings: Settings, letters: Sequence[DeadLetterEntry]) -> None:
    """Raises `SetupError` for letters from topics that this deployment does not have."""
    topic_names = {topic.name for topic in topics.required_topics(settings)}
    if unknown := sorted({letter.topic or "no topic" for letter in letters} - topic_names):
        raise SetupError(
            f"Dead letters came from {', '.join(unknown)}, which this deployment doesn't have.",
            "Add the task to HINDSIGHT_TASKS, or choose others with --task.",
        )


def _chunks(
    originals: Iterable[tuple[DeadLetterEntry, ConsumedRecord]],
) -> Iterator[list[tuple[DeadLetterEntry, Record]]]:
    chunk, size = list[tuple[DeadLetterEntry, Record]](), 0
    for letter, record in originals:
        chunk.append((letter, build_record(letter, record)))
        size += len(record.value or b"")
        if len(chunk) >= _CHUNK_SIZE or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
