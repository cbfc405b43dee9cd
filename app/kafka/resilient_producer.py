"""An idempotent Kafka producer that survives failures of its broker: it starts as soon as it can, and restarts."""

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from app.errors import Unconfirmed
from app.events.cloudevents import Record
from app.kafka import clients
from app.settings import Settings

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 5.0
RETRY_SECONDS = 1.0
STOP_SECONDS = 5.0


class ResilientProducer:
    """Producer whose `publish` returns once all in-sync replicas have the record."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = asyncio.Event()
        self._broken = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._keep_running_task: asyncio.Task[None] | None = None

    async def publish(self, record: Record) -> None:
        """Publish a record and wait for its confirmation. Raises Unconfirmed, or MessageSizeTooLargeError."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._started.wait()
                assert self._producer is not None
                await self._producer.send_and_wait(record.topic, record.value, record.key, headers=list(record.headers))
        except TimeoutError:
            raise Unconfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:g} s") from None
        except MessageSizeTooLargeError:
            raise
        except KafkaError as error:
            # An idempotent producer stays failed: `_keep_running` creates a new one.
            self._started.clear()
            self._broken.set()
            raise Unconfirmed(f"the broker did not confirm: {error}") from error

    async def __aenter__(self) -> Self:
        self._keep_running_task = asyncio.create_task(self._keep_running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keep_running_task is not None
        self._keep_running_task.cancel()
        with suppress(asyncio.CancelledError):
            await self._keep_running_task

    async def _keep_running(self) -> None:
        while True:
            self._broken.clear()
            try:
                producer = clients.create_producer(self._settings)
            except OSError as error:
                log.warning("the credentials for Kafka cannot be read: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await producer.start()
                self._producer = producer
                self._started.set()
                await self._broken.wait()
            except KafkaError as error:
                log.debug("no broker yet: %s", error)
            finally:
                self._started.clear()
                # Without a broker it would wait forever to deliver records that no caller waits for. Not `wait_for`:
                # before Python 3.12 it can lose the cancellation that ends this task.
                with suppress(TimeoutError, KafkaError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await producer.stop()
            await asyncio.sleep(RETRY_SECONDS)
