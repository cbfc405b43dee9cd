"""The way of dead letters back to where they came from.

What goes back has the original's key, value, headers, partition and identity: so its prediction has the id that it
would have had, and supersedes the failure that was answered. A header says which dead letter it was, and by that header
it is known what was replayed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
    """How many went back, and why the broker refused the others."""

    redelivered: int
    refused: tuple[tuple[str, str], ...]


async def redeliver(
    settings: Settings,
    originals: Iterable[tuple[DeadLetterEntry, ConsumedRecord]],
    progress: Callable[[int], None] = lambda count: None,
) -> RedeliveryResult:
    """Publish the originals again, in this order. Raises `SetupError` when the broker doesn't confirm."""
    producer = clients.create_producer(settings, max_request_size=topics.max_message_bytes(settings) + MiB)
    await producer.start()
    try:
        published, refused = 0, list[tuple[str, str]]()
        for chunk in _chunks(originals):
            # All are sent before the first is awaited: an idempotent producer keeps the order of each partition.
            in_turn = iter(chunk)

            async def send(record: Record, in_turn: Iterator[tuple[DeadLetterEntry, Record]] = in_turn) -> Any:
                there = next(in_turn)[0].partition
                partition = there if there in await producer.partitions_for(record.topic) else None
                return await producer.send(
                    record.topic, record.value, record.key, partition=partition, headers=list(record.headers)
                )

            errors = await publish_confirmed(send, [record for _, record in chunk])
            for (letter, _), error in zip(chunk, errors, strict=True):
                if error is None:
                    published += 1
                elif isinstance(error, Unpublishable):
                    refused.append((letter.id, str(error)))
                else:
                    raise SetupError(
                        f"Kafka did not confirm the replay of {letter.id}: {error!r}; {published} went back before.",
                        "Once it does, run this again: what was replayed is left out.",
                    )
            progress(len(chunk))
        return RedeliveryResult(published, tuple(refused))
    finally:
        await producer.stop()


def build_record(letter: DeadLetterEntry, incoming: ConsumedRecord) -> Record:
    """The record that goes back: as it was, with the identity and the time that it was given, and its dead letter."""
    ours = {*EventRejected.headers, REPLAY_OF_HEADER}
    headers = [(name, value) for name, value in incoming.headers if name not in ours]
    source, event_id = letter.event_identity
    given = {"ce_source": source, "ce_id": event_id, "ce_time": format_rfc3339(letter.logged.timestamp() * 1000)}
    if letter.topic == topics.joins(letter.task):  # its headers say where it was before, and are read from the end
        given = {}
    given = {name: value for name, value in given.items() if name not in dict(headers)} | {REPLAY_OF_HEADER: letter.id}
    added = [(name, value.encode()) for name, value in given.items()]
    return Record(letter.topic, incoming.key, incoming.value, (*added, *headers))


def check_redeliverable(settings: Settings, letters: Sequence[DeadLetterEntry]) -> None:
    """Raises `SetupError` for letters from topics that this deployment doesn't have."""
    there = {topic.name for topic in topics.required_topics(settings)}
    if unknown := sorted({letter.topic or "no topic" for letter in letters} - there):
        raise SetupError(
            f"Dead letters came from {', '.join(unknown)}, which this deployment doesn't have.",
            "Add the task to HINDSIGHT_TASKS, or choose others with --task.",
        )


def _chunks(
    originals: Iterable[tuple[DeadLetterEntry, ConsumedRecord]],
) -> Iterator[list[tuple[DeadLetterEntry, Record]]]:
    chunk, size = list[tuple[DeadLetterEntry, Record]](), 0
    for letter, incoming in originals:
        chunk.append((letter, build_record(letter, incoming)))
        size += len(incoming.value or b"")
        if len(chunk) >= _CHUNK_SIZE or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
