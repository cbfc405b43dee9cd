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

TASK = "trimmed"
EVENTS = 10


@pytest.fixture(scope="module")
async def shared(platform: Settings) -> Settings:
    """A task of its own on the shared broker, whose events may be forgotten at once."""
    settings = platform.model_copy(update={"tasks": {TASK: "tests.support.tasks:Letters"}, "kafka_retention_days": 0.0})
    settings = settings.model_copy(update={"partitions": 1})
    await provisioning.provision(settings)
    return settings


@pytest.fixture
async def settings(shared: Settings, tmp_path: object) -> AsyncIterator[Settings]:
    """With events on each topic, and an archive of its own."""
    yield shared.model_copy(update={"blob_url": f"file://{tmp_path}"})


async def log_of(settings: Settings, topic: str) -> tuple[TopicPartition, reader.OffsetRange]:
    await publish(settings, topic, [OutgoingRecord(b"{}")] * EVENTS)
    [(tp, held)] = (await reader.fetch_offset_ranges(settings, [topic])).items()
    return tp, held


async def archive(settings: Settings, tp: TopicPartition, held: reader.OffsetRange, end: int) -> None:
    async for records in reader.read_ranges(settings, {tp: (held.begin, end)}, {tp.topic: held.topic_id}):
        await ArchiveWriter(settings).write(records)


async def commit(settings: Settings, groups: Iterable[str], tp: TopicPartition, offset: int) -> None:
    for group in groups:
        consumer = clients.create_consumer(settings, group_id=group)
        consumer.assign([tp])
        await consumer.start()
        await consumer.commit({tp: offset})
        await consumer.stop()


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def begin(settings: Settings, tp: TopicPartition) -> int:
    return (await reader.fetch_offset_ranges(settings, [tp.topic]))[tp].begin


async def test_kafka_forgets_what_is_archived_and_read_by_everyone(settings: Settings) -> None:
    tp, held = await log_of(settings, topics.requests(TASK))
    await archive(settings, tp, held, held.end - 2)
    await commit(settings, required_groups(settings)[tp.topic], tp, held.end)
    trimmed = await apply_retention(settings, later())
    assert trimmed[tp] == held.end - 2
    assert await begin(settings, tp) == held.end - 2


async def test_kafka_keeps_what_one_group_has_not_read_yet(settings: Settings) -> None:
    tp, held = await log_of(settings, topics.features(TASK))
    await archive(settings, tp, held, held.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, held.end)
    await commit(settings, ["hindsight-worker"], tp, held.begin + 3)
    await apply_retention(settings, later())
    assert await begin(settings, tp) == held.begin + 3


async def test_kafka_keeps_everything_of_a_topic_that_a_group_has_never_read(settings: Settings) -> None:
    tp, held = await log_of(settings, topics.feedback(TASK))
    await archive(settings, tp, held, held.end)
    await commit(settings, required_groups(settings)[tp.topic] - {"hindsight-recorder"}, tp, held.end)
    await apply_retention(settings, later())
    assert await begin(settings, tp) == held.begin


async def test_kafka_keeps_what_is_young(settings: Settings) -> None:
    tp, held = await log_of(settings, topics.predictions(TASK))
    await archive(settings, tp, held, held.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, held.end)
    await apply_retention(settings.model_copy(update={"kafka_retention_days": 1.0}), later())
    assert await begin(settings, tp) == held.begin


async def test_the_internal_topic_is_forgotten_once_it_is_read_for_it_is_not_archived(settings: Settings) -> None:
    tp, held = await log_of(settings, topics.joins(TASK))
    await commit(settings, ["hindsight-recorder"], tp, held.begin + 4)
    await apply_retention(settings, later())
    assert await begin(settings, tp) == held.begin + 4


async def test_what_is_archived_of_a_topic_that_was_deleted_says_nothing_of_the_one_made_in_its_place(
    settings: Settings,
) -> None:
    tp, held = await log_of(settings, topics.outcomes(TASK))
    other = reader.OffsetRange(TopicId("cluster/another-topic"), held.begin, held.end)
    await archive(settings, tp, other, held.end)
    await commit(settings, required_groups(settings)[tp.topic], tp, held.end)
    await apply_retention(settings, later())
    assert await begin(settings, tp) == held.begin


def test_every_group_that_reads_a_topic_is_waited_for_and_lifecycle_is_kept_for_ever(brokerless: Settings) -> None:
    consumed: dict[str, set[str]] = {topics.requests("ocr"): {"hindsight-preprocess"}}
    for process in (make() for make in PROCESSES.values()):
        for agent in build_app(brokerless, process).agents.values():
            for topic in agent.channel.topics:
                consumed.setdefault(topic, set()).add(process.group)
    del consumed[topics.LIFECYCLE]
    assert required_groups(brokerless) == consumed
