"""Access rules of the embedded broker.

- The platform logs in as `hindsight` by SCRAM, with the password in HINDSIGHT_HOME, and may do everything.
- The broker, its controller and `configure_acls` log in as `broker`, with a password that each start of the broker
  generates. It is in server.properties, readable by the owner only.
- All other clients are anonymous at the public listener. They may write requests and feedback, also in transactions,
  and read everything, in consumer groups that are not the platform's.

A broker that an earlier version has formatted has no such rules: `configure_acls` is called after each start.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.events import topics
from app.kafka import clients, platform_secret
from app.kafka.admin_requests import AclEntry, AlterUserScramCredentials, CreateAcls, raise_on_error, send
from app.settings import Settings
from app.settings.namespace import qualify

BROKER_USER = "broker"
GROUP_PREFIX = qualify("hindsight-")
"""Prefix of the platform's consumer groups."""

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
        response = await send(
            client,
            AlterUserScramCredentials(platform_secret.USERNAME, platform_secret.load_or_create_password(config.home)),
        )
        raise_on_error([(code, reason) for _, code, reason, _ in response.results])
        response = await send(client, CreateAcls(list(_acl_entries(config))))
        raise_on_error(response.creation_responses)
    finally:
        await client.close()


def _acl_entries(config: Settings) -> Iterator[AclEntry]:
    anonymous = "User:ANONYMOUS"
    yield AclEntry(anonymous, "Topic", "*", "Read")
    yield AclEntry(anonymous, "Topic", "*", "DescribeConfigs")
    for task in config.tasks:
        yield AclEntry(anonymous, "Topic", topics.requests(task), "Write")
        yield AclEntry(anonymous, "Topic", topics.feedback(task), "Write")
    yield AclEntry(anonymous, "TransactionalId", "*", "Write")
    yield AclEntry(anonymous, "Group", "*", "Read")
    yield AclEntry(anonymous, "Group", GROUP_PREFIX, "Read", prefixed=True, allowed=False)
