import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from app.errors import SetupError
from app.events import topics
from app.events.topics import SEGMENT_MS, required_topics
from app.kafka import growth, platform_secret
from app.kafka.provisioning import check_shared_state, provision, wait_provisioned
from app.settings import MiB, Settings
from tests.support.kafka_clients import OutgoingRecord, publish

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


async def test_a_cluster_of_one_broker_is_refused_unless_it_is_stated_that_one_copy_is_enough(
    platform: Settings,
) -> None:
    cluster: dict[str, Any] = {
        "tasks": {f"provisioned_{next(_NUMBERS)}": "tests.support.tasks:Letters"},
        "kafka_bootstrap": platform.platform_bootstrap,
        "single_host": True,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_username": platform_secret.USERNAME,
        "kafka_sasl_password": platform_secret.load_or_create_password(platform.home),
    }
    with pytest.raises(SetupError, match="has 1 brokers; a topic has 3 replicas by default") as refusal:
        await provision(Settings(**cluster))
    assert "HINDSIGHT_REPLICATION=1" in refusal.value.remedy
    assert await provision(Settings(**cluster, replication=1)) == []


@pytest.mark.parametrize(("stated", "copies", "in_sync"), [({}, 3, 2), ({"replication": 2}, 2, 1)])
def test_a_cluster_keeps_what_it_has_confirmed_when_a_broker_is_lost(
    stated: dict[str, Any], copies: int, in_sync: int
) -> None:
    settings = Settings(kafka_bootstrap="kafka:9092", **stated)
    assert (settings.replication, settings.min_insync_replicas) == (copies, in_sync)
    assert {topic.configs["min.insync.replicas"] for topic in required_topics(settings)} == {str(in_sync)}


async def test_the_topics_of_a_task_grow_once_their_events_are_read(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await provision(settings)
    await wait_provisioned(settings)
    [task] = settings.tasks
    names = [topic.name for topic in required_topics(settings) if topics.task_of(topic.name) == task]
    await publish(settings, topics.requests(task), [OutgoingRecord(b"abc")])
    with pytest.raises(SetupError, match="events wait in the topics of the task"):
        await growth.grow(settings, task, 5)
    assert await growth.grow(settings, task, 5, despite_lag=True) == names
    async with asyncio.timeout(30):
        while set((await partition_counts(admin, names)).values()) != {5}:
            await asyncio.sleep(0.05)
    assert await growth.grow(settings, task, 5, despite_lag=True) == []
    with pytest.raises(SetupError, match="has 5 partitions, and Kafka takes none away"):
        await growth.grow(settings, task, 4, despite_lag=True)


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({}, "HINDSIGHT_DATABASE_URL and HINDSIGHT_BLOB_URL name files"),
        ({"blob_url": "s3://bucket"}, "HINDSIGHT_DATABASE_URL name files"),
        ({"database_url": "postgresql://db/hindsight", "blob_url": "file:///data"}, "HINDSIGHT_BLOB_URL name files"),
    ],
)
async def test_files_of_one_machine_are_refused_on_a_shared_cluster(stated: dict[str, Any], reason: str) -> None:
    settings = Settings(kafka_bootstrap="kafka.example:9092", **stated)
    for start in (provision, wait_provisioned):
        with pytest.raises(SetupError, match=reason):
            await start(settings)


@pytest.mark.parametrize(
    "stated",
    [{"single_host": True}, {"database_url": "postgresql://db/hindsight", "blob_url": "s3://bucket"}],
)
def test_shared_state_and_one_machine_are_accepted_on_a_shared_cluster(stated: dict[str, Any]) -> None:
    check_shared_state(Settings(kafka_bootstrap="kafka.example:9092", **stated))
