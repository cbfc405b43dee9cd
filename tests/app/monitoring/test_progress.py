import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.events import topics
from app.kafka import clients
from app.kafka.lag import PREPROCESS_GROUP
from app.monitoring.progress import COMMIT_SECONDS, Progress
from app.monitoring.progress_tracker import Place, Tracker
from app.settings import Settings

KEY = ("group", "topic")


def test_what_waits_and_does_not_move_stands_still() -> None:
    tracker = Tracker(30)
    assert tracker.hear(0, {KEY: Place(5, 0)})[KEY].still_seconds == 0
    assert tracker.hear(50, {KEY: Place(5, 0)})[KEY].still_seconds == 0
    assert tracker.hear(60, {KEY: Place(5, 3)})[KEY].still_seconds == 10
    assert tracker.hear(70, {KEY: Place(5, 9)})[KEY].still_seconds == 20
    assert tracker.hear(80, {KEY: Place(6, 9)})[KEY].still_seconds == 0


def test_what_is_overdue_when_it_is_first_seen_has_stood_still_until_it_is_seen_to_move() -> None:
    tracker = Tracker(30)
    assert tracker.hear(0, {KEY: Place(5, 3, 3)})[KEY].still_seconds == 30
    assert tracker.hear(5, {KEY: Place(5, 3, 3)})[KEY].still_seconds == 35
    assert tracker.hear(10, {KEY: Place(6, 2, 2)})[KEY].still_seconds == 0


def test_a_topic_is_quiet_since_it_grew() -> None:
    tracker = Tracker(30)
    assert tracker.hear(0, {KEY: Place(5, end=5)})[KEY].quiet_seconds is None
    assert tracker.hear(5, {KEY: Place(5, end=6)})[KEY].quiet_seconds == 0
    assert tracker.hear(9, {KEY: Place(5, end=6)})[KEY].quiet_seconds == 4


async def test_records_wait_until_their_group_commits_them(platform: Settings) -> None:
    config = platform.model_copy(
        update={"checkpoint_seconds": 0.1, "archive_seconds": 0.1, "unanswered_seconds": COMMIT_SECONDS + 2}
    )
    name, partition = topics.requests("ocr"), TopicPartition(topics.requests("ocr"), 0)
    progress, key = Progress(config), (PREPROCESS_GROUP, topics.requests("ocr"))
    before = (await progress.look())[key].place
    async with AIOKafkaProducer(bootstrap_servers=platform.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait(name, b"payload", partition=0)
    produced = time.monotonic()
    young = (await progress.look())[key].place
    assert young.end == before.end + 3
    assert young.waiting == before.waiting or time.monotonic() > produced + COMMIT_SECONDS
    async with asyncio.timeout(60):
        while (place := (await progress.look())[key].place).overdue < before.overdue + 3:
            await asyncio.sleep(0.2)
    assert place.waiting >= 3
    assert place.committed == before.committed
    async with clients.consumer(platform, group_id=PREPROCESS_GROUP) as consumer:
        of = [TopicPartition(name, number) for number in range(platform.partitions)]
        consumer.assign(of)
        await consumer.commit(await consumer.end_offsets([partition, *of[1:]]))
    after = (await progress.look())[key]
    assert (after.place.waiting, after.place.overdue, after.still_seconds) == (0, 0, 0)
    await progress.close()


async def test_without_a_broker_nothing_is_known() -> None:
    progress = Progress(Settings(kafka_bootstrap="127.0.0.1:1"))
    with pytest.raises(KafkaError):
        await progress.look()
    await progress.close()
