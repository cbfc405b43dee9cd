"""A broker that says which versions it speaks, and then nothing: whoever waits for it is cancelled or closed."""

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

SILENT = 3
"""Of the requests, each with its key, those for metadata."""
VERSIONS = {SILENT: (0, 5), 18: (0, 0)}


class Broker:
    """Its port, and how many connections are open; it answers no sooner than `answers` is set."""

    def __init__(self) -> None:
        self.open, self.port, self.answers, self.asked = 0, 0, asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                [size] = struct.unpack(">i", await reader.readexactly(4))
                key, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                self.asked.set()
                if key == SILENT:
                    continue
                await self.answers.wait()
                body = struct.pack(">ihi", correlation, 0, len(VERSIONS))
                body += b"".join(struct.pack(">hhh", key, *bounds) for key, bounds in VERSIONS.items())
                writer.write(struct.pack(">i", len(body)) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0.01)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    made = Broker()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def closed(broker: Broker, work: Awaitable[object]) -> None:
    """After the work all is closed, not only collected."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        await work
        await broker.until(lambda: broker.open == 0)
        gc.collect()
    assert [str(one.message) for one in said if issubclass(one.category, ResourceWarning)] == []


async def test_a_client_that_is_cancelled_while_it_waits_for_metadata_closes_its_connection(broker: Broker) -> None:
    async def cancelled() -> None:
        broker.answers.set()
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        starting = asyncio.create_task(client.bootstrap())
        await broker.until(broker.asked.is_set)
        await asyncio.sleep(0.1)
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await client.close()

    assert clients
    await closed(broker, cancelled())


async def test_a_connection_that_is_made_while_its_client_is_closed_is_closed(broker: Broker) -> None:
    async def too_late() -> None:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", broker.port, None)}
        connecting = asyncio.create_task(client._get_conn(1))
        await broker.until(broker.asked.is_set)
        await client.close()
        broker.answers.set()
        with suppress(KafkaError):
            assert await connecting is None

    await closed(broker, too_late())
