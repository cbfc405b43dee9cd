"""Compressed records that expand to more than a heap holds, on a real broker."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.events import topics
from app.events.ids import prediction_id
from app.kafka import clients, provisioning
from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.oversized_records import skip_oversized
from app.settings import MiB, Settings
from tests.support import kafka_clients
from tests.support.kafka_clients import header_text
from tests.support.platform import platform_settings, run_processes

LETTERS = {"letters": "tests.support.tasks:Letters"}
DIGITS = {"digits": "tests.support.tasks:Letters"}
TOPIC = topics.requests("digits")
EXPANDED_BYTES = 40 * MiB
"""The size of zeros that compress to less than `max_payload_bytes` here."""

MAX_RECORD_BYTES = 400 * MiB

Value = tuple[bytes, dict[str, bytes]]
"""The value and the headers of a record."""


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker, and Flink, which preprocesses `letters`."""
    config = platform_settings(
        tmp_path_factory.mktemp("oversized"),
        tasks=LETTERS,
        partitions=2,
        max_payload_bytes=2_500_000,
        flink_memory="256m",
    )
    async with run_processes(config, only=("kafka", "preprocess")):
        yield config


@pytest.fixture(scope="module")
async def settings(platform: Settings) -> Settings:
    """The same broker, with a task that no job reads."""
    config = platform.model_copy(update={"tasks": DIGITS})
    await provisioning.provision(config)
    return config


async def send(settings: Settings, topic: str, partition: int, codec: str, *batches: list[Value]) -> None:
    """Publish compressed record batches."""
    producer = clients.create_producer(
        settings, compression_type=codec, max_batch_size=MAX_RECORD_BYTES, max_request_size=MAX_RECORD_BYTES
    )
    await producer.start()
    try:
        for records in batches:
            batch = producer.create_batch()
            for value, headers in records:
                assert batch.append(key=b"k", value=value, timestamp=None, headers=list(headers.items())) is not None
            await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


async def committed_offset(settings: Settings, partition: int) -> int | None:
    consumer: AIOKafkaConsumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(TOPIC, partition))
        return offset
    finally:
        await consumer.stop()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_record_that_expands_too_far_is_answered_and_skipped_and_its_neighbours_are_kept(
    settings: Settings, codec: str
) -> None:
    good: Value = (b"abc", {"ce_id": codec.encode(), "ce_source": b"app"})
    unnamed: Value = (b"def", {})
    bomb: Value = (bytes(EXPANDED_BYTES), {})
    async with kafka_clients.open_topic_reader(
        settings, TOPIC, topics.predictions("digits"), topics.DEAD_LETTERS
    ) as log:
        await send(settings, TOPIC, 0, codec, [good, unnamed], [bomb], [unnamed])
        assert await skip_oversized(settings, "digits") == 1
        records = await log.read_until(lambda records: len(records) >= 4 + 4)
    by_topic: dict[str, list[ConsumerRecord]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    [letter], [answer] = by_topic[topics.DEAD_LETTERS], by_topic[topics.predictions("digits")]
    sent, republished = by_topic[TOPIC][:4], by_topic[TOPIC][4:]
    assert header_text(letter, "rejected_offset") == str(sent[2].offset)
    assert header_text(letter, "rejected_code") == "too_large"
    assert b"too_large" in answer.value
    assert header_text(answer, "ce_id") == prediction_id(
        "digits", f"kafka:{TOPIC}", header_text(letter, "rejected_event_id")
    )
    # The records before it are published again, as the same events.
    assert [record.value for record in republished] == [b"abc", b"def"]
    assert header_text(republished[0], "ce_id") == codec
    assert header_text(republished[1], "ce_source") == f"kafka:{TOPIC}"
    assert await committed_offset(settings, 0) == sent[2].offset + 1
    assert await skip_oversized(settings, "digits") == 0
    await commit_all(settings)


async def commit_all(settings: Settings) -> None:
    """Commit the end offsets, as if the job had read all records."""
    consumer: AIOKafkaConsumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP)
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(2)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


async def test_records_in_the_batch_of_an_oversized_one_are_kept_if_the_batch_can_be_read(settings: Settings) -> None:
    large, good = (bytes(3_000_000), {"ce_id": b"large", "ce_source": b"app"}), (b"abc", {"ce_id": b"good"})
    async with kafka_clients.open_topic_reader(settings, TOPIC, topics.predictions("digits")) as log:
        await send(settings, TOPIC, 1, "gzip", [good, large, good])
        assert await skip_oversized(settings, "digits") == 1
        records = await log.read_until(lambda records: len(records) >= 3 + 2)
    [answer] = [record for record in records if record.topic != TOPIC]
    assert header_text(answer, "ce_id") == prediction_id("digits", "app", "large")
    assert b"3,000,000 bytes" in answer.value
    _, skipped, _, republished = (record for record in records if record.topic == TOPIC)
    assert (republished.value, header_text(republished, "ce_id")) == (b"abc", "good")
    assert await committed_offset(settings, 1) == skipped.offset + 1  # Flink reads the record after it


@pytest.mark.soak
async def test_a_job_continues_after_a_record_that_is_larger_than_its_heap(platform: Settings) -> None:
    answer_topics = topics.features("letters"), topics.predictions("letters"), topics.DEAD_LETTERS
    async with kafka_clients.open_topic_reader(platform, *answer_topics) as log:
        before: Value = (b"before", {})
        after: Value = (b"after", {})
        await send(platform, topics.requests("letters"), 0, "gzip", [before], [(bytes(300 * MiB), {})], [after])
        await log.read_until(lambda records: set(answer_topics) <= {record.topic for record in records})
        records = await log.read_until(lambda records: {b"before", b"after"} <= {record.value for record in records})
    dead_letters = [record for record in records if record.topic == topics.DEAD_LETTERS]
    assert {header_text(letter, "rejected_code") for letter in dead_letters} == {"too_large"}
