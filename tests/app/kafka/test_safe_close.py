"""A fake broker that answers only requests for API versions, and clients that are cancelled or closed meanwhile."""

import asyncio
import gc
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import BrokerMetadata

from app.kafka import clients

METADATA_KEY, API_VERSIONS_KEY = 3, 18
VERSIONS = {METADATA_KEY: (0, 5), API_VERSIONS_KEY: (0, 0)}


class FakeBroker:
    """Broker that counts its open connections and answers only once `may_answer` is set."""

    def __init__(self) -> None:
        self.open_connections, self.port = 0, 0
        self.may_answer, self.requested = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while True:
                [size] = struct.unpack(">i", await reader.readexactly(4))
                key, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                self.requested.set()
                if key == METADATA_KEY:
                    continue
                await self.may_answer.wait()
                body = struct.pack(">ihi", correlation, 0, len(VERSIONS))
                body += b"".join(struct.pack(">hhh", key, *bounds) for key, bounds in VERSIONS.items())
                writer.write(struct.pack(">i", len(body)) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open_connections -= 1
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    broker = FakeBroker()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        broker.port = server.sockets[0].getsockname()[1]
        yield broker


async def assert_closes_connections(broker: FakeBroker, work: Awaitable[object]) -> None:
    """Assert that all connections are closed after the work, rather than garbage-collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        await work
        await until(lambda: broker.open_connections == 0)
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


async def test_a_client_that_is_cancelled_while_it_waits_for_metadata_closes_its_connection(broker: FakeBroker) -> None:
    async def cancel_bootstrap() -> None:
        broker.may_answer.set()
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        starting = asyncio.create_task(client.bootstrap())
        await until(broker.requested.is_set)
        await asyncio.sleep(0.1)
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await client.close()

    assert clients
    await assert_closes_connections(broker, cancel_bootstrap())


async def test_a_connection_that_is_opened_while_its_client_is_closed_is_closed(broker: FakeBroker) -> None:
    async def close_while_connecting() -> None:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", broker.port, None)}
        connecting = asyncio.create_task(client._get_conn(1))
        await until(broker.requested.is_set)
        await client.close()
        broker.may_answer.set()
        with suppress(KafkaError):
            assert await connecting is None

    await assert_closes_connections(broker, close_while_connecting())
