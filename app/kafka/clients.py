"""The platform's aiokafka clients. They are created only here, so that all connect and read in the same way.

The clients of applications, in `app.client` and in the tests, are separate.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import record_parser, safe_close
from app.kafka.connection import READ_COMMITTED, client_options, producer_compression
from app.settings import Settings

safe_close.install()


class _StopOnFailedStart:
    """Mixin of a client: close its connections if the start fails or is cancelled."""

    async def start(self) -> None:
        """Connect."""
        client: Any = super()
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise


class _Consumer(_StopOnFailedStart, AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    pass


class _Producer(_StopOnFailedStart, AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    pass


def install_record_parser(settings: Settings) -> None:
    """Bound the record batches of every consumer of this process. Call it before others, as Faust, create consumers."""
    record_parser.install(2 * settings.max_payload_bytes)  # a dead letter of such a record still fits its topic


def create_consumer(settings: Settings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """Return a consumer of committed records. It does not commit offsets by itself."""
    install_record_parser(settings)
    return _Consumer(
        *topics,
        **(client_options(settings) | {"isolation_level": READ_COMMITTED, "enable_auto_commit": False} | overrides),
    )


def create_producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """Return an idempotent producer, whose records are confirmed once they are in all in-sync replicas."""
    durability = {"acks": "all", "enable_idempotence": True, "compression_type": producer_compression(settings)}
    return _Producer(**(client_options(settings) | durability | overrides))


def create_admin(settings: Settings) -> AIOKafkaAdminClient:
    """Return an admin client."""
    return AIOKafkaAdminClient(**client_options(settings))


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client. Raises KafkaError without a broker."""
    admin = create_admin(settings)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


def create_client(settings: Settings, **overrides: Any) -> AIOKafkaClient:
    """Return a bare client of the cluster."""
    return AIOKafkaClient(**(client_options(settings) | overrides))
