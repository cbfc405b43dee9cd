from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition

from app.eventlog.retention import apply_retention, required_groups
from app.eventlog.writer import ArchiveWriter
from app.events import topics
from app.events.cloudevents import TopicId
from app.kafka import clients, provisioning, reader
from app.settings import Settings
from app.worker import PROCESSES, build_app
from tests.support.kafka_clients import OutgoingRecord, publish

TASK = "retained"
EVENTS = 10


@pytest.fixture(scope="module")
async def shared(platform: Settings) -> Settings:
    """Return settings with a task of its own on the shared broker, whose records may be deleted immediately."""
    settings = platform.model_copy(update={"tasks": {TASK: "tests.support.tasks:Letters"}, "kafka_retention_days": 0.0})
    settings = settings.model_copy(update={"partitions": 1})
    await provisioning.provision(settings)
    return settings


@pytest.fixture
async def settings(shared: Settings, tmp_path: object) -> AsyncIterator[Settings]:
    """Yield these settings with a separate archive."""
    yield shared.model_copy(update={"blob_url": f"file://{tmp_path}"})


async def publish_events(settings: Settings, topic: str) -> tuple[TopicPartition, reader.OffsetRange]:
    await publish(settings, topic, [OutgoingRecord(b"{}")] * EVENTS)
    [(tp, offset_range)] = (await reader.fetch_offset_ranges(settings, [topic])).items()
    return tp, offset_range


async def archive(settings: Settings, tp: TopicPartition, offset_range: reader.OffsetRange, end: int) -> None:
    async for records in reader.read_ranges(
        settings, {tp: (offset_range.begin, end)}, {tp.topic: offset_range.topic_id}
    ):
        await ArchiveWriter(settings).write(records)


async def commit(settings: Settings, groups: Iterable[str], tp: TopicPartition, offset: int) -> None:
    for group in groups:
        consumer = clients.create_consumer(settings, group_id=group)
        consumer.assign([tp])
        await consumer.start()
        await consumer.commit({tp: offset})
        await consumer.stop()


def in_a_minute() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def first_offset(settings: Settings, tp: TopicPartition) -> int:
    return (await reader.fetch_offset_ranges(settings, [tp.topic]))[tp].begin


async def test_records_are_deleted_once_they_are_archived_and_read_by_every_group(settings: Settings) -> None:
    tp, offset_range = await publish_events(settings, topics.requests(TASK))
    await archive(settings, tp, offset_range, offset_range.end - 2)
    await commit(settings, required_groups(settings)[tp.topic], tp, offset_range.end)
    first_offsets = await apply_retention(settings, in_a_minute())
    assert first_offsets[tp] == offset_range.end - 2
    assert await first_offset(settings, tp) == offset_range.end - 2


async def test_records_that_one_group_has_not_read_are_kept(settings: Settings) -> None:
    tp, offset_range = await publish_events(settings, topics.features(TASK))
    await archive(settings, tp, offset_range, offset_range.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, offset_range.end)
    await commit(settings, ["hindsight-worker"], tp, offset_range.begin + 3)
    await apply_retention(settings, in_a_minute())
    assert await first_offset(settings, tp) == offset_range.begin + 3


async def test_a_topic_that_a_group_has_never_read_is_kept(settings: Settings) -> None:
    tp, offset_range = await publish_events(settings, topics.feedback(TASK))
    await archive(settings, tp, offset_range, offset_range.end)
    await commit(settings, required_groups(settings)[tp.topic] - {"hindsight-recorder"}, tp, offset_range.end)
    await apply_retention(settings, in_a_minute())
    assert await first_offset(settings, tp) == offset_range.begin


async def test_young_records_are_kept(settings: Settings) -> None:
    tp, offset_range = await publish_events(settings, topics.predictions(TASK))
    await archive(settings, tp, offset_range, offset_range.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, offset_range.end)
    await apply_retention(settings.model_copy(update={"kafka_retention_days": 1.0}), in_a_minute())
    assert await first_offset(settings, tp) == offset_range.begin


async def test_records_of_the_internal_topic_are_deleted_once_they_are_read(settings: Settings) -> None:
    tp, offset_range = await publish_events(settings, topics.joins(TASK))
    await commit(settings, ["hindsight-recorder"], tp, offset_range.begin + 4)
    await apply_retention(settings, in_a_minute())
    assert await first_offset(settings, tp) == offset_range.begin + 4


async def test_the_archive_of_a_deleted_topic_does_not_count_for_its_replacement(
    settings: Settings,
) -> None:
    tp, offset_range = await publish_events(settings, topics.outcomes(TASK))
    replaced = reader.OffsetRange(TopicId("cluster/another-topic"), offset_range.begin, offset_range.end)
    await archive(settings, tp, replaced, offset_range.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, offset_range.end)
    await apply_retention(settings, in_a_minute())
    assert await first_offset(settings, tp) == offset_range.begin


def test_every_group_that_reads_a_topic_is_required_and_lifecycle_is_kept(brokerless: Settings) -> None:
    groups_by_topic: dict[str, set[str]] = {topics.requests("ocr"): {"hindsight-preprocess"}}
    for process in (create() for create in PROCESSES.values()):
        for agent in build_app(brokerless, process).agents.values():
            for topic in agent.channel.topics:
                groups_by_topic.setdefault(topic, set()).add(process.group)
    del groups_by_topic[topics.LIFECYCLE]
    assert required_groups(brokerless) == groups_by_topic
