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
    """Two new topics."""
    number = next(_NUMBERS)
    names = [f"topic-ids.{number}.one", f"topic-ids.{number}.two"]
    await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    async with asyncio.timeout(60):
        while not set(names) <= set(await admin.list_topics()):
            await asyncio.sleep(0.05)
    return names


async def test_a_topic_id_consists_of_the_clusters_id_and_the_topics_uuid(platform: Settings, names: list[str]) -> None:
    topic_ids = await fetch_topic_ids(platform, names)
    assert list(topic_ids) == names
    for topic_id in topic_ids.values():
        cluster, _, topic = topic_id.rpartition("/")
        assert cluster == broker.cluster_id(platform)
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", topic)
        assert set(topic) != {"-", "0"}


async def test_each_topic_has_its_own_id(platform: Settings, names: list[str]) -> None:
    assert len(set((await fetch_topic_ids(platform, names)).values())) == 2


async def test_a_topic_keeps_its_id_when_it_gets_more_partitions(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    before = await fetch_topic_ids(platform, names)
    await admin.create_partitions({names[0]: NewPartitions(2)})
    async with asyncio.timeout(60):
        while len((await admin.describe_topics(names[:1]))[0]["partitions"]) < 2:
            await asyncio.sleep(0.05)
    assert await fetch_topic_ids(platform, iter(names * 2)) == before


async def test_a_topic_that_is_deleted_and_created_again_has_another_id(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    recreated, unchanged = names
    before = await fetch_topic_ids(platform, names)
    await admin.delete_topics([recreated])
    async with asyncio.timeout(60):
        while recreated in await admin.list_topics():
            await asyncio.sleep(0.05)
        await admin.create_topics([NewTopic(recreated, 1, 1)])
        while recreated not in await admin.list_topics():
            await asyncio.sleep(0.05)
    after = await fetch_topic_ids(platform, names)
    assert after[recreated] != before[recreated]
    assert after[unchanged] == before[unchanged]


async def test_a_topic_that_does_not_exist_is_an_error_and_is_not_created(
    platform: Settings, admin: AIOKafkaAdminClient, names: list[str]
) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match=r"topic 'topic-ids\.gone'"):
        await fetch_topic_ids(platform, [*names, "topic-ids.gone"])
    assert "topic-ids.gone" not in await admin.list_topics()


async def test_a_broker_that_is_away_is_an_error(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        await fetch_topic_ids(brokerless, ["topic-ids.gone"])


def test_a_topic_id_is_fetched_again_if_offsets_do_not_increase() -> None:
    cache = TopicIdCache()
    assert cache.get("t", 0, 5) is None
    cache.put("t", 0, 5, TopicId("first"))
    assert cache.get("t", 0, 6) == "first"
    assert cache.get("t", 1, 0) == "first"
    assert cache.get("t", 0, 5) is None
    cache.put("t", 0, 0, TopicId("second"))
    assert cache.get("t", 0, 1) == "second"
    assert cache.get("u", 0, 0) is None
