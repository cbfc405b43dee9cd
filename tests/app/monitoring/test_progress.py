import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.events import topics
from app.kafka import clients
from app.kafka.lag import PREPROCESS_GROUP
from app.monitoring.progress import COMMIT_SECONDS, ProgressMonitor
from app.monitoring.progress_tracker import GroupPosition, ProgressTracker
from app.settings import Settings

KEY = ("group", "topic")


def test_what_waits_and_does_not_move_stands_still() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, 0)})[KEY].stalled_seconds == 0
    assert tracker.update(50, {KEY: GroupPosition(5, 0)})[KEY].stalled_seconds == 0
    assert tracker.update(60, {KEY: GroupPosition(5, 3)})[KEY].stalled_seconds == 10
    assert tracker.update(70, {KEY: GroupPosition(5, 9)})[KEY].stalled_seconds == 20
    assert tracker.update(80, {KEY: GroupPosition(6, 9)})[KEY].stalled_seconds == 0


def test_what_is_overdue_when_it_is_first_seen_has_stood_still_until_it_is_seen_to_move() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, 3, 3)})[KEY].stalled_seconds == 30
    assert tracker.update(5, {KEY: GroupPosition(5, 3, 3)})[KEY].stalled_seconds == 35
    assert tracker.update(10, {KEY: GroupPosition(6, 2, 2)})[KEY].stalled_seconds == 0


def test_a_topic_is_quiet_since_it_grew() -> None:
    tracker = ProgressTracker(30)
    assert tracker.update(0, {KEY: GroupPosition(5, end=5)})[KEY].idle_seconds is None
    assert tracker.update(5, {KEY: GroupPosition(5, end=6)})[KEY].idle_seconds == 0
    assert tracker.update(9, {KEY: GroupPosition(5, end=6)})[KEY].idle_seconds == 4


async def test_records_wait_until_their_group_commits_them(platform: Settings) -> None:
    config = platform.model_copy(
        update={"checkpoint_seconds": 0.1, "archive_seconds": 0.1, "unanswered_seconds": COMMIT_SECONDS + 2}
    )
    name, partition = topics.requests("ocr"), TopicPartition(topics.requests("ocr"), 0)
    progress, key = ProgressMonitor(config), (PREPROCESS_GROUP, topics.requests("ocr"))
    before = (await progress.measure())[key].position
    async with AIOKafkaProducer(bootstrap_servers=platform.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait(name, b"payload", partition=0)
    produced = time.monotonic()
    young = (await progress.measure())[key].position
    assert young.end == before.end + 3
    assert young.waiting == before.waiting or time.monotonic() > produced + COMMIT_SECONDS
    async with asyncio.timeout(60):
        while (place := (await progress.measure())[key].position).overdue < before.overdue + 3:
            await asyncio.sleep(0.2)
    assert place.waiting >= 3
    assert place.committed == before.committed
    async with clients.create_consumer(platform, group_id=PREPROCESS_GROUP) as consumer:
        of = [TopicPartition(name, number) for number in range(platform.partitions)]
        consumer.assign(of)
        await consumer.commit(await consumer.end_offsets([partition, *of[1:]]))
    after = (await progress.measure())[key]
    assert (after.position.waiting, after.position.overdue, after.stalled_seconds) == (0, 0, 0)
    await progress.close()


async def test_without_a_broker_nothing_is_known() -> None:
    progress = ProgressMonitor(Settings(kafka_bootstrap="127.0.0.1:1"))
    with pytest.raises(KafkaError):
        await progress.measure()
    await progress.close()
