import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.events import topics
from app.kafka import clients
from app.kafka.lag import PREPROCESS_GROUP
from app.monitoring import progress
from app.monitoring.progress import ProgressMonitor
from app.settings import Settings

COMMIT_SECONDS = 1.0


async def test_records_wait_until_their_group_commits_them(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "COMMIT_SECONDS", COMMIT_SECONDS)
    config = platform.model_copy(
        update={"checkpoint_seconds": 0.1, "archive_seconds": 0.1, "unanswered_seconds": COMMIT_SECONDS + 1}
    )
    name = topics.requests("ocr")
    monitor, key = ProgressMonitor(config), (PREPROCESS_GROUP, name)
    before = (await monitor.measure())[key].position
    async with AIOKafkaProducer(bootstrap_servers=platform.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait(name, b"payload", partition=0)
    produced = time.monotonic()
    recent = (await monitor.measure())[key].position
    assert recent.end == before.end + 3
    assert recent.waiting == before.waiting or time.monotonic() > produced + COMMIT_SECONDS
    async with asyncio.timeout(60):
        while (position := (await monitor.measure())[key].position).overdue < before.overdue + 3:
            await asyncio.sleep(0.2)
    assert position.waiting >= 3
    assert position.committed == before.committed
    async with clients.create_consumer(platform, group_id=PREPROCESS_GROUP) as consumer:
        partitions = [TopicPartition(name, number) for number in range(platform.partitions)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    after = (await monitor.measure())[key]
    assert (after.position.waiting, after.position.overdue, after.stalled_seconds) == (0, 0, 0)
    await monitor.close()


async def test_measuring_without_a_broker_is_an_error() -> None:
    monitor = ProgressMonitor(Settings(kafka_bootstrap="127.0.0.1:1"))
    with pytest.raises(KafkaError):
        await monitor.measure()
    await monitor.close()
