import asyncio
from itertools import count
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from app.events import topics
from app.events.topics import SEGMENT_MS, required_topics
from app.kafka.provisioning import provision, wait_provisioned
from app.settings import MiB, Settings

_NUMBERS = count()


@pytest.fixture
def settings(platform: Settings) -> Settings:
    """Return the settings of a task without topics on the real broker."""
    name = f"provisioned_{next(_NUMBERS)}"
    return platform.model_copy(update={"tasks": {name: "tests.support.tasks:Letters"}, "partitions": 3})


async def create_topics(admin: AIOKafkaAdminClient, *topics: NewTopic) -> None:
    """Create topics, and return once the broker lists them."""
    await admin.create_topics(list(topics))
    async with asyncio.timeout(60):
        while not {topic.name for topic in topics} <= set(await admin.list_topics()):
            await asyncio.sleep(0.05)


async def partition_counts(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the number of partitions of each topic."""
    descriptions = await admin.describe_topics(names)
    return {topic["topic"]: len(topic["partitions"]) for topic in descriptions}


async def topic_configs(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [resource] = response.resources
    return {entry[0]: entry[1] for entry in resource[4]}


async def test_provisioning_creates_every_topic_with_its_configuration(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    assert await provision(settings) == []
    await wait_provisioned(settings)
    specs = [topic for topic in required_topics(settings) if topic.name.startswith("provisioned_")]
    assert await partition_counts(admin, [topic.name for topic in specs]) == {topic.name: 3 for topic in specs}
    for topic in specs:
        assert topic.configs.items() <= (await topic_configs(admin, topic.name)).items()


async def test_provisioning_again_changes_and_reports_nothing(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    await provision(settings)
    await wait_provisioned(settings)
    before = await topic_configs(admin, required_topics(settings)[-1].name)
    assert await provision(settings) == []
    assert await topic_configs(admin, required_topics(settings)[-1].name) == before


async def test_concurrent_provisioning_succeeds(settings: Settings) -> None:
    assert await asyncio.gather(*(provision(settings) for _ in range(4))) == [[]] * 4


async def test_a_topic_that_differs_is_reported_and_left_unchanged(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    [task] = settings.tasks
    name = topics.requests(task)
    await create_topics(admin, NewTopic(name, 2, 1, topic_configs={"retention.ms": "1000"}))
    lines = [
        f"topic {name} has 2 partitions, not 3",
        f"topic {name} has retention.ms=1000, not -1",
        f"topic {name} has segment.ms={7 * SEGMENT_MS}, not {SEGMENT_MS}",
        f"topic {name} has max.message.bytes={64 * MiB}, not {8 * MiB}",
    ]
    assert sorted(await provision(settings)) == sorted(lines)
    await wait_provisioned(settings)
    assert sorted(await provision(settings)) == sorted(lines)
    assert await partition_counts(admin, [name, topics.features(task)]) == {name: 2, topics.features(task): 3}
    assert (await topic_configs(admin, name))["retention.ms"] == "1000"


async def test_a_topic_that_cannot_be_created_is_reported_by_name(settings: Settings) -> None:
    [task] = settings.tasks
    with pytest.raises(
        KafkaError, match=f"topic '{task}\\.requests' could not be created: InvalidReplicationFactorError"
    ):
        await provision(settings.model_copy(update={"replication": 3}))


async def test_waiting_returns_once_every_topic_is_there(settings: Settings) -> None:
    waiting = asyncio.create_task(wait_provisioned(settings))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await provision(settings)
    async with asyncio.timeout(60):
        await waiting


async def test_waiting_continues_while_there_is_no_broker(brokerless: Settings) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_provisioned(brokerless)


async def test_provisioning_without_a_broker_raises(brokerless: Settings) -> None:
    with pytest.raises(KafkaConnectionError):
        await provision(brokerless)


async def test_waiting_outlasts_a_home_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    waiting = asyncio.create_task(wait_provisioned(settings.model_copy(update={"home": tmp_path / "file" / "home"})))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    waiting.cancel()
