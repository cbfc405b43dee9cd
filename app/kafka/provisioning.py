"""Creation of the platform's topics, and the wait for them."""

import asyncio
import logging
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.errors import SetupError
from app.events.topics import TopicSpec, required_topics
from app.kafka import clients
from app.settings import Settings

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.3


async def provision(settings: Settings) -> list[str]:
    """Create the missing topics. Return a line for each difference between an existing topic and the required one.

    Idempotent, and safe to run from several processes at once. An existing topic is never changed. Raises `SetupError`
    on a cluster with fewer brokers than the default number of replicas.
    """
    check_shared_state(settings)
    async with clients.open_admin(settings) as admin:
        topics = required_topics(settings)
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        if missing:
            await _check_brokers(admin, settings)
            await _create(admin, missing, settings.replication)
        return await _differences(admin, [topic for topic in topics if topic.name in existing])


def check_shared_state(settings: Settings) -> None:
    """Raise `SetupError` if machines that share a cluster would each have a catalog or an archive of their own."""
    if settings.embedded_kafka or settings.single_host:
        return
    local = [
        name
        for name, is_local in (
            ("HINDSIGHT_DATABASE_URL", settings.database_url is None),
            ("HINDSIGHT_BLOB_URL", settings.blob_store_url.startswith("file:")),
        )
        if is_local
    ]
    if local:
        raise SetupError(
            f"{' and '.join(local)} name files of this machine, but the cluster at {settings.bootstrap} is open to "
            "others: two machines would each record a part of the events.",
            "Set them to PostgreSQL and an S3 bucket, or set HINDSIGHT_SINGLE_HOST=true if all runs on this machine.",
        )


async def _check_brokers(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Raise `SetupError` if the cluster is too small for a number of replicas that nobody has stated."""
    brokers = len((await admin.describe_cluster())["brokers"])
    if brokers < settings.replication and "replication" not in settings.model_fields_set:
        raise SetupError(
            f"The cluster has {brokers} brokers; a topic has {settings.replication} replicas by default, so that no "
            "record is lost with a broker.",
            f"Add brokers, or set HINDSIGHT_REPLICATION={brokers} if that is enough.",
        )


async def _create(admin: AIOKafkaAdminClient, topics: Iterable[TopicSpec], replication: int) -> None:
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.configs) for topic in topics]
    )
    for name, code, *details in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise KafkaError(f"topic {name!r} could not be created: {error.__name__}: {' '.join(map(str, details))}")


async def _differences(admin: AIOKafkaAdminClient, topics: list[TopicSpec]) -> list[str]:
    if not topics:
        return []
    lines = []
    descriptions = await admin.describe_topics([topic.name for topic in topics])
    partitions = {description["topic"]: len(description["partitions"]) for description in descriptions}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics])
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for response in responses
        for resource in response.resources
    }
    for topic in topics:
        if partitions[topic.name] != topic.partitions:
            lines.append(f"topic {topic.name} has {partitions[topic.name]} partitions, not {topic.partitions}")
        for name, value in topic.configs.items():
            if (actual := configs[topic.name].get(name)) != value:
                lines.append(f"topic {topic.name} has {name}={actual}, not {value}")
    return lines


async def wait_provisioned(settings: Settings) -> None:
    """Return once the broker answers and every topic exists. Consumers call this first.

    Raises `SetupError` as `check_shared_state`.
    """
    check_shared_state(settings)
    names = {topic.name for topic in required_topics(settings)}
    logged = False
    while True:
        try:
            if names <= await _existing_topics(settings):
                return
            reason = "its topics do not exist yet"
        except (KafkaError, OSError) as error:
            reason = str(error)
        if not logged:
            log.info("waiting for Kafka at %s: %s", settings.bootstrap, reason)
            logged = True
        await asyncio.sleep(_POLL_SECONDS)


async def _existing_topics(settings: Settings) -> set[str]:
    async with clients.open_admin(settings) as admin:
        return set(await admin.list_topics())
