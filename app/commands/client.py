"""The platform's client and API, as commands use them. `hindsight client` configures other clients of Kafka."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import SetupError

if TYPE_CHECKING:
    from app.client import Hindsight


class ClientKind(StrEnum):
    """A client that `hindsight client` configures."""

    KCAT = "kcat"
    JAVA = "java"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("client", epilog="Example: hindsight client --emit kcat > kcat.conf; kcat -F kcat.conf -L")(emit_client)


def emit_client(
    emit: Annotated[ClientKind, typer.Option(help="kcat and others with librdkafka, or Java.")],
) -> None:
    """Print the configuration of a Kafka client, without the secret: a comment or a reference says where that is."""
    from app.kafka import client_files
    from app.settings import settings

    lines = client_files.kcat_lines if emit is ClientKind.KCAT else client_files.java_lines
    print("\n".join(lines(settings())))


def create_client() -> "Hindsight":
    """Return a client of this deployment, with its own API key."""
    from app.auth import local_key
    from app.client import Hindsight
    from app.embedded.api_readiness import api_url
    from app.kafka.connection import application_options
    from app.settings import settings
    from app.system import api_tls

    config = settings()
    return Hindsight(
        config.bootstrap,
        api_url=api_url(config),
        api_key=local_key.load_key(config),
        verify=api_tls.client_verification(config),
        max_payload_bytes=config.max_payload_bytes,
        kafka=application_options(config),
    )


class ApiRefusal(SetupError):
    """The API refused a call, with this HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, "See the command's --help.")
        self.status = status


def check_same_log() -> None:
    """Raise `SetupError` if the API belongs to another platform than the broker: a command must not act on both."""
    from aiokafka.errors import UnknownTopicOrPartitionError

    from app.embedded.api_readiness import api_url
    from app.events import topics
    from app.kafka.topic_ids import fetch_topic_ids
    from app.settings import settings

    config = settings()
    try:
        api_log = call_api("GET", "/v1/log")["id"]
    except ApiRefusal as error:
        if error.status == 403:  # the key has other scopes than read: it can't be known
            return
        raise
    try:
        broker_log = asyncio.run(fetch_topic_ids(config, [topics.LIFECYCLE]))[topics.LIFECYCLE]
    except UnknownTopicOrPartitionError:
        broker_log = None
    if api_log != broker_log:
        raise SetupError(
            f"The API at {api_url(config)} has another log than the broker at {config.bootstrap}: "
            "they are two platforms, and nothing was done.",
            "Set HINDSIGHT_KAFKA_BOOTSTRAP and HINDSIGHT_API_PORT, or HINDSIGHT_PORT_BASE, to those of one platform.",
        )


def call_api(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call the API and return its answer. Raises `ApiRefusal` with its reason, `SetupError` if it is away."""
    import httpx

    from app.auth import local_key
    from app.embedded.api_readiness import api_url
    from app.settings import settings
    from app.system import api_tls

    key, verify = local_key.load_key(settings()), api_tls.client_verification(settings())
    headers = {"X-API-Key": key} if key else {}
    url = f"{api_url(settings())}{path}"
    try:
        response = httpx.request(method, url, json=body, headers=headers, timeout=60, trust_env=False, verify=verify)
    except httpx.HTTPError as error:
        raise SetupError(f"{url} can't be reached: {error}.", "Start the platform with `hindsight up`.") from error
    if response.is_success:
        return response.json()
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text
    raise ApiRefusal(str(detail), response.status_code)
