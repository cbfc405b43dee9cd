"""Requests of Kafka's administration that aiokafka 0.14 lacks, declared with its own classes."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields

Resource = Literal["Topic", "Group", "Cluster", "TransactionalId"]
Operation = Literal["Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs"]

_ITERATIONS, _SALT_BYTES, _SHA_512 = 4096, 16, 2
"""4096 is Kafka's minimum. More iterations would protect a weak password only, at a cost for each connection."""
_RESOURCES = {"Topic": 2, "Group": 3, "Cluster": 4, "TransactionalId": 5}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Alter": 7, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _PREFIXED = 3, 4
_DENY, _ALLOW = 2, 3


@dataclass(frozen=True)
class AclEntry:
    """What a principal, such as `User:ada`, may do with a resource of this name or, if `prefixed`, this prefix."""

    principal: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False
    allowed: bool = True


async def send(client: AIOKafkaClient, request: Any) -> Any:
    """Send a request to any broker. Raises KafkaError."""
    node = client.get_random_node()
    if node is None:
        raise KafkaError("the broker's metadata lists no broker")
    return await client.send(node, request)


def raise_on_error(results: list[tuple[int, str | None]]) -> None:
    """Raise the first error among these codes with their reasons."""
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


class AlterUserScramCredentials(Request[_AlterScramStruct]):  # type: ignore[misc]
    """Request that sets the password of a user (KIP-554)."""

    API_KEY = 51

    def __init__(self, user: str, password: str) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
        self._upsertion: Any = (user, _SHA_512, _ITERATIONS, salt, salted, {})

    def build(self, request_struct_class: type[_AlterScramStruct]) -> _AlterScramStruct:
        """Return the request."""
        return request_struct_class([], [self._upsertion], {})


class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """Request that creates several entries; aiokafka's own creates one."""

    API_KEY = 30

    def __init__(self, entries: list[AclEntry]) -> None:
        self._entries = [
            (
                _RESOURCES[entry.resource],
                entry.name,
                _PREFIXED if entry.prefixed else _LITERAL,
                entry.principal,
                "*",
                _OPERATIONS[entry.operation],
                _ALLOW if entry.allowed else _DENY,
            )
            for entry in entries
        ]

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        """Return the request."""
        return request_struct_class(self._entries)
