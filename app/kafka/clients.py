"""The platform's aiokafka clients: nowhere else are any made, so that all connect, and read, in the same way.

The clients that applications have, in `app.client` and in the tests, are theirs.
"""

from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import record_parser, safe_close
from app.kafka.connection import READ_COMMITTED, options
from app.settings import Settings

safe_close.install()


class _StartsOrStops:
    """A client that leaves no connection open where it could not start, or was cancelled while it started."""

    async def start(self) -> None:
        """Connect."""
        client: Any = super()
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise


class _Consumer(_StartsOrStops, AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    pass


class _Producer(_StartsOrStops, AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    pass


def prepare(settings: Settings) -> None:
    """Have every consumer of this process read batches within bounds: before one is made by others, as Faust does."""
    record_parser.install(2 * settings.max_payload_bytes)  # a dead letter with such a record fits its topic


def consumer(settings: Settings, *topics: str, **own: Any) -> AIOKafkaConsumer:
    """A consumer of what is committed, with options of its own; it commits nothing by itself."""
    prepare(settings)
    return _Consumer(
        *topics, **options(settings), **({"isolation_level": READ_COMMITTED, "enable_auto_commit": False} | own)
    )


def producer(settings: Settings, **own: Any) -> AIOKafkaProducer:
    """A producer whose records are in all in-sync replicas once they are confirmed, each once and in order."""
    return _Producer(**options(settings), **({"acks": "all", "enable_idempotence": True} | own))


def admin(settings: Settings) -> AIOKafkaAdminClient:
    """A client of the broker's administration."""
    return AIOKafkaAdminClient(**options(settings))


def client(settings: Settings, **own: Any) -> AIOKafkaClient:
    """A bare connection to the cluster."""
    return AIOKafkaClient(**(options(settings) | own))
