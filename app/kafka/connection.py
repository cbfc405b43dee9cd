"""How the platform's processes connect to Kafka, in the terms of aiokafka, Faust and Java."""

from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from aiokafka.helpers import create_ssl_context

from app.kafka import platform_secret
from app.settings import Settings

READ_COMMITTED = "read_committed"
"""What a transaction has aborted is not there; what is in an open one is not there yet."""
_JAAS = (
    "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.{module} required "
    'username="{username}" password="{password}";'
)
"""The class as Flink's SQL connector shades it."""


@dataclass(frozen=True)
class ConnectionSecurity:
    """By which protocol the platform connects; the last three are of SASL only."""

    protocol: str
    mechanism: str = ""
    username: str = ""
    password: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> "ConnectionSecurity":
        """How this deployment connects. Raises OSError where the embedded broker's password can't be read."""
        if settings.embedded_kafka:
            return cls(
                "SASL_PLAINTEXT",
                "SCRAM-SHA-512",
                platform_secret.USERNAME,
                platform_secret.load_or_create_password(settings.home),
            )
        protocol, password = settings.kafka_security_protocol, settings.kafka_sasl_password
        if not protocol.startswith("SASL"):
            return cls(protocol)
        known = "" if password is None else password.get_secret_value()
        return cls(protocol, settings.kafka_sasl_mechanism, settings.kafka_sasl_username, known)


def client_options(settings: Settings) -> dict[str, Any]:
    """The options of every aiokafka client."""
    login = ConnectionSecurity.from_settings(settings)
    found: dict[str, Any] = {"bootstrap_servers": settings.platform_bootstrap, "security_protocol": login.protocol}
    if (context := ssl_context(settings)) is not None:
        found["ssl_context"] = context
    if login.mechanism:
        found |= {
            "sasl_mechanism": login.mechanism,
            "sasl_plain_username": login.username,
            "sasl_plain_password": login.password,
        }
    return found


def faust_settings(settings: Settings) -> dict[str, Any]:
    """The settings of a Faust app: its brokers and how it logs in."""
    from faust import SASLCredentials, SSLCredentials  # of the Faust processes only

    login, context = ConnectionSecurity.from_settings(settings), ssl_context(settings)
    credentials: SASLCredentials | SSLCredentials | None = None
    if login.mechanism:
        credentials = SASLCredentials(
            username=login.username, password=login.password, ssl_context=context, mechanism=login.mechanism
        )
    elif context is not None:
        credentials = SSLCredentials(context)
    return {
        "broker": f"aiokafka://{settings.platform_bootstrap.replace(',', ';aiokafka://')}",
        "broker_credentials": credentials,
    }


def java_properties(settings: Settings) -> dict[str, str]:
    """The properties of a Kafka client in Flink's SQL connector."""
    login = ConnectionSecurity.from_settings(settings)
    found = {"bootstrap.servers": settings.platform_bootstrap, "security.protocol": login.protocol}
    if login.mechanism:
        username, password = (
            text.replace("\\", "\\\\").replace('"', '\\"') for text in (login.username, login.password)
        )
        module = "plain.PlainLoginModule" if login.mechanism == "PLAIN" else "scram.ScramLoginModule"
        found["sasl.mechanism"] = login.mechanism
        found["sasl.jaas.config"] = _JAAS.format(module=module, username=username, password=password)
    if settings.kafka_ssl_cafile is not None:
        found["ssl.truststore.type"] = "PEM"
        found["ssl.truststore.location"] = str(settings.kafka_ssl_cafile.resolve())
    if settings.kafka_ssl_certfile is not None and settings.kafka_ssl_keyfile is not None:
        found["ssl.keystore.type"] = "PEM"
        found["ssl.keystore.certificate.chain"] = settings.kafka_ssl_certfile.read_text()
        found["ssl.keystore.key"] = settings.kafka_ssl_keyfile.read_text()
    return found


def ssl_context(settings: Settings) -> SSLContext | None:
    """What a connection by TLS trusts and shows; None without TLS. Raises OSError for a file that can't be read."""
    if settings.embedded_kafka or not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context: SSLContext = create_ssl_context(
        cafile=settings.kafka_ssl_cafile, certfile=settings.kafka_ssl_certfile, keyfile=settings.kafka_ssl_keyfile
    )
    return context
