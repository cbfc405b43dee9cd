"""Records that travel small and expand to more than a heap takes, against a real broker."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

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
EXPANDED = 40 * MiB
"""Of zeros, which travel as less than the 2,500,000 bytes that the topics' messages may have here."""

MOST = 400 * MiB
"""Of a record that an application makes here."""

Value = tuple[bytes, dict[str, bytes]]
"""A record's value, and its headers."""


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker, and Flink, which answers letters."""
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
    """The same broker with a task that no job reads."""
    config = platform.model_copy(update={"tasks": DIGITS})
    await provisioning.provision(config)
    return config


async def send(settings: Settings, topic: str, partition: int, codec: str, *batches: list[Value]) -> None:
    """Publish record batches, each as one, as an application does that compresses."""
    producer = clients.create_producer(settings, compression_type=codec, max_batch_size=MOST, max_request_size=MOST)
    await producer.start()
    try:
        for records in batches:
            batch = producer.create_batch()
            for value, headers in records:
                assert batch.append(key=b"k", value=value, timestamp=None, headers=list(headers.items())) is not None
            await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


async def committed(settings: Settings, partition: int) -> int | None:
    consumer: AIOKafkaConsumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP)
    await consumer.start()
    try:
        found: int | None = await consumer.committed(TopicPartition(TOPIC, partition))
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_expands_too_far_is_answered_and_skipped_and_its_neighbours_are_kept(
    settings: Settings, codec: str
) -> None:
    good: Value = (b"abc", {"ce_id": codec.encode(), "ce_source": b"app"})
    unnamed: Value = (b"def", {})
    bomb: Value = (bytes(EXPANDED), {})
    async with kafka_clients.open_topic_reader(
        settings, TOPIC, topics.predictions("digits"), topics.DEAD_LETTERS
    ) as tail:
        await send(settings, TOPIC, 0, codec, [good, unnamed], [bomb], [unnamed])
        assert await skip_oversized(settings, "digits") == 1
        found = await tail.read_until(lambda records: len(records) >= 4 + 4)
    by_topic = {topic: [record for record in found if record.topic == topic] for topic in {r.topic for r in found}}
    [letter], [answer] = by_topic[topics.DEAD_LETTERS], by_topic[topics.predictions("digits")]
    sent, again = by_topic[TOPIC][:4], by_topic[TOPIC][4:]
    assert header_text(letter, "rejected_offset") == str(sent[2].offset)
    assert header_text(letter, "rejected_code") == "too_large"
    assert b"too_large" in answer.value
    assert header_text(answer, "ce_id") == prediction_id(
        "digits", f"kafka:{TOPIC}", header_text(letter, "rejected_event_id")
    )
    # Those before it stand behind all others now, as the same events.
    assert [record.value for record in again] == [b"abc", b"def"]
    assert header_text(again[0], "ce_id") == codec
    assert header_text(again[1], "ce_source") == f"kafka:{TOPIC}"
    assert await committed(settings, 0) == sent[2].offset + 1
    assert await skip_oversized(settings, "digits") == 0
    await commit_all(settings)


async def commit_all(settings: Settings) -> None:
    """As if the job had read all there is."""
    consumer: AIOKafkaConsumer = clients.create_consumer(settings, group_id=PREPROCESS_GROUP)
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(2)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


async def test_what_shares_a_batch_with_it_is_kept_where_the_batch_can_be_read(settings: Settings) -> None:
    large, good = (bytes(3_000_000), {"ce_id": b"large", "ce_source": b"app"}), (b"abc", {"ce_id": b"good"})
    async with kafka_clients.open_topic_reader(settings, TOPIC, topics.predictions("digits")) as tail:
        await send(settings, TOPIC, 1, "gzip", [good, large, good])
        assert await skip_oversized(settings, "digits") == 1
        found = await tail.read_until(lambda records: len(records) >= 3 + 2)
    [answer] = [record for record in found if record.topic != TOPIC]
    assert header_text(answer, "ce_id") == prediction_id("digits", "app", "large")
    assert b"3,000,000 bytes" in answer.value
    _, refused, _, again = (record for record in found if record.topic == TOPIC)
    assert (again.value, header_text(again, "ce_id")) == (b"abc", "good")
    assert await committed(settings, 1) == refused.offset + 1  # the one behind it is Flink's


async def test_a_job_goes_on_behind_a_record_that_is_larger_than_its_heap(platform: Settings) -> None:
    heard = topics.features("letters"), topics.predictions("letters"), topics.DEAD_LETTERS
    async with kafka_clients.open_topic_reader(platform, *heard) as tail:
        before: Value = (b"before", {})
        after: Value = (b"after", {})
        await send(platform, topics.requests("letters"), 0, "gzip", [before], [(bytes(300 * MiB), {})], [after])
        found = await tail.read_until(lambda records: set(heard) <= {record.topic for record in records})
        found = await tail.read_until(lambda records: {b"before", b"after"} <= {record.value for record in records})
    assert {header_text(record, "rejected_code") for record in found if record.topic == topics.DEAD_LETTERS} == {
        "too_large"
    }
