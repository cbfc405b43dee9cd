"""A patch of aiokafka: close connections that are being opened while their client is cancelled or closed.

aiokafka 0.14 leaves them open in two places, until they are collected with the warning `Unclosed AIOKafkaConnection`:
1. `AIOKafkaClient.bootstrap` closes its connection if the broker answers with an error, but not if it is cancelled
2. `AIOKafkaClient.close` closes existing connections, but not one that another task opens at the same time
"""

from contextvars import ContextVar
from typing import Any

from aiokafka import client as aiokafka_client
from aiokafka import conn as aiokafka_conn
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection

_bootstrap, _get_conn, _close = AIOKafkaClient.bootstrap, AIOKafkaClient._get_conn, AIOKafkaClient.close
_bootstrap_connections: ContextVar[list[AIOKafkaConnection] | None] = ContextVar("bootstrap_connections", default=None)
"""Connections of the bootstrap that the current task runs."""


async def _create_connection(*arguments: Any, **options: Any) -> AIOKafkaConnection:
    connection = await aiokafka_conn.create_conn(*arguments, **options)
    if (connections := _bootstrap_connections.get()) is not None:
        connections.append(connection)
    return connection


async def _bootstrap_or_close(self: AIOKafkaClient) -> None:
    self._is_closed = False
    connections: list[AIOKafkaConnection] = []
    token = _bootstrap_connections.set(connections)
    try:
        await _bootstrap(self)
    except BaseException:
        for connection in connections:
            connection.close()
        raise
    finally:
        _bootstrap_connections.reset(token)


async def _get_conn_or_close(self: AIOKafkaClient, *arguments: Any, **options: Any) -> AIOKafkaConnection | None:
    connection = await _get_conn(self, *arguments, **options)
    if connection is not None and getattr(self, "_is_closed", False):
        connection.close()
        return None
    return connection


async def _close_for_good(self: AIOKafkaClient) -> None:
    self._is_closed = True
    await _close(self)


def install() -> None:
    """Patch every client of this process."""
    aiokafka_client.create_conn = _create_connection
    AIOKafkaClient.bootstrap = _bootstrap_or_close
    AIOKafkaClient._get_conn = _get_conn_or_close
    AIOKafkaClient.close = _close_for_good
