"""Access to the embedded broker: the rights of anonymous clients and of the platform."""

import asyncio
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError, for_code

from app.events import topics
from app.kafka import clients, platform_secret
from app.settings import Settings
from tests.support.platform import platform_settings, run_processes

TASK = "letters"
REQUESTS, FEEDBACK = topics.requests(TASK), topics.feedback(TASK)
WRITTEN = {REQUESTS, FEEDBACK}


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    config = platform_settings(tmp_path_factory.mktemp("access"), tasks={TASK: "tests.support.tasks:Letters"})
    async with run_processes(config):
        yield config


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_anonymous_clients_write_requests_and_feedback_also_in_transactions(broker: Settings) -> None:
    for options in ({}, {"enable_idempotence": True}, {"transactional_id": "shop"}):
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **options) as producer:
            if "transactional_id" in options:
                await producer.begin_transaction()
            for topic in WRITTEN:
                await producer.send_and_wait(topic, b"{}")
            if "transactional_id" in options:
                await producer.commit_transaction()


@pytest.mark.parametrize(
    "topic", sorted({topic.name for topic in topics.required_topics(Settings(tasks={TASK: ""}))} - WRITTEN)
)
async def test_only_the_platform_writes_to_other_topics(broker: Settings, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"{}")
    async with clients.create_producer(broker) as producer:
        await producer.send_and_wait(topic, b"{}")


async def test_anonymous_clients_read_everything_in_groups_that_are_not_the_platforms(broker: Settings) -> None:
    async with clients.create_producer(broker) as producer:
        await producer.send_and_wait(topics.predictions(TASK), b"{}")
    for group in (None, "mine"):
        options: dict[str, Any] = {"group_id": group, "auto_offset_reset": "earliest"}
        async with AIOKafkaConsumer(
            topics.predictions(TASK), bootstrap_servers=broker.bootstrap, **options
        ) as consumer:
            async with asyncio.timeout(30):
                assert (await consumer.getone()).value is not None
            if group:
                await consumer.commit()


async def test_anonymous_clients_cannot_move_the_offsets_of_the_platforms_groups(broker: Settings) -> None:
    tp = TopicPartition(REQUESTS, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id="hindsight-worker", enable_auto_commit=False
    )
    consumer.assign([tp])
    with pytest.raises(GroupAuthorizationFailedError):
        await consumer.start()
        await consumer.commit({tp: 0})
    await consumer.stop()


async def refusal_of(broker: Settings, request: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> str:
    """Return the name of the error with which the broker refuses; empty if it does not."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        response = await request(admin)
    except KafkaError as error:
        return type(error).__name__
    finally:
        await admin.close()
    responses = response if isinstance(response, list) else [response]
    fields = ("topic_errors", "topic_error_codes", "resources")
    rows = [row for response in responses for field in fields for row in getattr(response, field, ())]
    codes = [code for row in rows for code in row if isinstance(code, int) and code > 2]
    return for_code(codes[0]).__name__ if codes else ""


async def test_anonymous_clients_cannot_administrate(broker: Settings) -> None:
    tp = TopicPartition(REQUESTS, 0)
    limit = ConfigResource(ConfigResourceType.TOPIC, REQUESTS, configs={"retention.ms": "1"})
    requests: list[Callable[[AIOKafkaAdminClient], Awaitable[Any]]] = [
        lambda admin: admin.create_topics([NewTopic("more", 1, 1)]),
        lambda admin: admin.delete_topics([REQUESTS]),
        lambda admin: admin.create_partitions({REQUESTS: NewPartitions(9)}),
        lambda admin: admin.alter_configs([limit]),
        lambda admin: admin.delete_records({tp: RecordsToDelete(before_offset=-1)}),
    ]
    refusals = [await refusal_of(broker, request) for request in requests]
    assert all("AuthorizationFailed" in refusal for refusal in refusals), refusals
    admin = clients.create_admin(broker)
    await admin.start()
    assert {REQUESTS} <= set(await admin.list_topics())
    assert "more" not in await admin.list_topics()
    await admin.close()


async def test_the_listeners_of_the_platform_and_the_controller_require_a_password(broker: Settings) -> None:
    login: dict[str, Any] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": platform_secret.USERNAME,
        "sasl_plain_password": "guessed",
    }
    for port in (broker.kafka_platform_port, broker.kafka_controller_port):
        for options in ({}, login, login | {"sasl_mechanism": "PLAIN"}):
            client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=3000, **options)
            with pytest.raises(KafkaError):
                await client.bootstrap()
            await client.close()


async def test_the_passwords_are_readable_by_their_owner_only(broker: Settings) -> None:
    assert mode(platform_secret.path_of(broker.home)) == 0o600
    assert mode(broker.home / "kafka" / "server.properties") == 0o600
