"""Access rules of the embedded broker.

- The platform logs in as `hindsight` by SCRAM, with the password in HINDSIGHT_HOME, and may do everything.
- The broker, its controller and `configure_acls` log in as `broker`, with a password that each start of the broker
  generates. It is in server.properties, readable by the owner only.
- All other clients are anonymous at the public listener. They may write requests and feedback, also in transactions,
  and read everything, in consumer groups that are not the platform's.

A broker that an earlier version has formatted has no such rules: `configure_acls` is called after each start.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields

from app.events import topics
from app.kafka import clients, platform_secret
from app.settings import Settings

BROKER_USER = "broker"
GROUP_PREFIX = "hindsight-"
"""Prefix of the platform's consumer groups."""

_ITERATIONS, _SALT_BYTES, _SHA_512 = 4096, 16, 2
"""4096 is Kafka's minimum. More iterations would protect a weak password only, at a cost for each connection."""
_TOPIC, _GROUP, _TRANSACTIONAL_ID = 2, 3, 5
_LITERAL, _PREFIXED = 3, 4
_READ, _WRITE, _DESCRIBE_CONFIGS = 3, 4, 10
_DENY, _ALLOW = 2, 3
_PASSWORD_PATTERN = re.compile(rf'user_{BROKER_USER}="([^"]+)"')


def broker_client_options(properties: Path) -> dict[str, Any]:
    """Return the options of a client that logs in as the broker. Raises OSError, ValueError before its first start."""
    match = _PASSWORD_PATTERN.search(properties.read_text())
    if match is None:
        raise ValueError(f"{properties} has no password")
    return {"sasl_mechanism": "PLAIN", "sasl_plain_username": BROKER_USER, "sasl_plain_password": match[1]}


async def configure_acls(config: Settings, properties: Path) -> None:
    """Set the platform's password and the rights of anonymous clients. Raises KafkaError."""
    client = clients.create_client(config, **broker_client_options(properties))
    try:
        await client.bootstrap()
        response = await _send(
            client,
            _AlterUserScramCredentials(platform_secret.USERNAME, platform_secret.load_or_create_password(config.home)),
        )
        _raise_on_error([(code, reason) for _, code, reason, _ in response.results])
        response = await _send(client, _CreateAcls(list(_acl_entries(config))))
        _raise_on_error(response.creation_responses)
    finally:
        await client.close()


def _acl_entries(config: Settings) -> Iterator[tuple[int, str, int, str, str, int, int]]:
    def entry(resource: int, name: str, operation: int, pattern: int = _LITERAL, permission: int = _ALLOW) -> Any:
        return resource, name, pattern, "User:ANONYMOUS", "*", operation, permission

    yield entry(_TOPIC, "*", _READ)
    yield entry(_TOPIC, "*", _DESCRIBE_CONFIGS)
    for task in config.tasks:
        yield entry(_TOPIC, topics.requests(task), _WRITE)
        yield entry(_TOPIC, topics.feedback(task), _WRITE)
    yield entry(_TRANSACTIONAL_ID, "*", _WRITE)
    yield entry(_GROUP, "*", _READ)
    yield entry(_GROUP, GROUP_PREFIX, _READ, _PREFIXED, _DENY)


async def _send(client: AIOKafkaClient, request: Any) -> Any:
    node = client.get_random_node()
    if node is None:
        raise KafkaError("the broker's metadata lists no broker")
    return await client.send(node, request)


def _raise_on_error(results: list[tuple[int, str | None]]) -> None:
    for code, reason in results:
        if code:
            raise for_code(code)(reason)


class _AlterScramResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUserScramCredentials(Request[_AlterScramStruct]):  # type: ignore[misc]
    """Request that sets the password of a user (KIP-554)."""

    API_KEY = 51

    def __init__(self, user: str, password: str) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
        self._upsertion: Any = (user, _SHA_512, _ITERATIONS, salt, salted, {})

    def build(self, request_struct_class: type[_AlterScramStruct]) -> _AlterScramStruct:
        return request_struct_class([], [self._upsertion], {})


class _CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """Request that creates several entries; aiokafka's own creates one."""

    API_KEY = 30

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._entries)
