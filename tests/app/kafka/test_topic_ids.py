import asyncio
import re
from itertools import count

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from app.embedded import broker
from app.events.cloudevents import TopicId
from app.kafka.topic_ids import TopicIdCache, fetch_topic_ids
from app.settings import Settings

_NUMBERS = count()


@pytest.fixture
async def names(admin: AIOKafkaAdminClient) -> list[str]:
    """Two topics that the broker tells of."""
    number = next(_NUMBERS)
    names = [f"epoch.{number}.one", f"epoch.{number}.two"]
    await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    async with asyncio.timeout(60):
        while not set(names) <= set(await admin.list_topics()):
            await asyncio.sleep(0.05)
    return names


async def test_an_epoch_is_the_clusters_and_the_topics_id(platform: Settings, names: list[str]) -> None:
    epochs = await fetch_topic_ids(platform, names)
    assert list(epochs) == names
    for epoch in epochs.values():
        cluster, _, topic = epoch.rpartition("/")
        assert cluster == broker.cluster_id(platform)
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", topic)
        assert set(topic) != {"-", "0"}


async def test_each_topic_has_an_epoch_of_its_own(platform: Settings, names: list[str]) -> None:
    assert len(set((await fetch_topic_ids(platform, names)).values())) == 2


async def test_an_epoch_outlives_new_partitions(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    before = await fetch_topic_ids(platform, names)
    await admin.create_partitions({names[0]: NewPartitions(2)})
    async with asyncio.timeout(60):
        while len((await admin.describe_topics(names[:1]))[0]["partitions"]) < 2:
            await asyncio.sleep(0.05)
    assert await fetch_topic_ids(platform, iter(names * 2)) == before


async def test_a_topic_made_again_has_another_epoch(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    again, stays = names
    before = await fetch_topic_ids(platform, names)
    await admin.delete_topics([again])
    async with asyncio.timeout(60):
        while again in await admin.list_topics():
            await asyncio.sleep(0.05)
        await admin.create_topics([NewTopic(again, 1, 1)])
        while again not in await admin.list_topics():
            await asyncio.sleep(0.05)
    after = await fetch_topic_ids(platform, names)
    assert after[again] != before[again]
    assert after[stays] == before[stays]


async def test_a_topic_that_is_not_there_is_said_and_not_made(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match=r"topic 'epoch\.gone'"):
        await fetch_topic_ids(platform, [*names, "epoch.gone"])
    assert "epoch.gone" not in await admin.list_topics()


async def test_a_broker_that_is_away_is_said(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        await fetch_topic_ids(brokerless, ["epoch.gone"])


def test_an_epoch_is_asked_for_again_where_offsets_do_not_go_up() -> None:
    known = TopicIdCache()
    assert known.get("t", 0, 5) is None
    known.put("t", 0, 5, TopicId("first"))
    assert known.get("t", 0, 6) == "first"
    assert known.get("t", 1, 0) == "first"
    assert known.get("t", 0, 5) is None
    known.put("t", 0, 0, TopicId("second"))
    assert known.get("t", 0, 1) == "second"
    assert known.get("u", 0, 0) is None
