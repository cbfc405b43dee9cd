"""The platform's aiokafka clients: nowhere else are any made, so that all connect, and read, in the same way.

The clients that applications have, in `app.client` and in the tests, are theirs.
"""

from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import record_parser, safe_close
from app.kafka.connection import READ_COMMITTED, client_options
from app.settings import Settings

safe_close.install()


class _StopOnFailedStart:
    """A client that leaves no connection open where it could not start, or was cancelled while it started."""

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
    """Have every consumer of this process read batches within bounds: before one is made by others, as Faust does."""
    record_parser.install(2 * settings.max_payload_bytes)  # a dead letter with such a record fits its topic


def create_consumer(settings: Settings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """A consumer of what is committed, with options of its own; it commits nothing by itself."""
    install_record_parser(settings)
    return _Consumer(
        *topics,
        **client_options(settings),
        **({"isolation_level": READ_COMMITTED, "enable_auto_commit": False} | overrides),
    )


def create_producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """A producer whose records are in all in-sync replicas once they are confirmed, each once and in order."""
    return _Producer(**client_options(settings), **({"acks": "all", "enable_idempotence": True} | overrides))


def create_admin(settings: Settings) -> AIOKafkaAdminClient:
    """A client of the broker's administration."""
    return AIOKafkaAdminClient(**client_options(settings))


def create_client(settings: Settings, **overrides: Any) -> AIOKafkaClient:
    """A bare connection to the cluster."""
    return AIOKafkaClient(**(client_options(settings) | overrides))
