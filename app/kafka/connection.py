"""Connection options of the platform's Kafka clients, for aiokafka, Faust and Java."""

from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from aiokafka.helpers import create_ssl_context

from app.kafka import platform_secret
from app.settings import Settings

READ_COMMITTED = "read_committed"
"""Isolation level that hides the records of aborted and of open transactions."""
_JAAS = (
    "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.{module} required "
    'username="{username}" password="{password}";'
)
"""The login module has the class name of Flink's SQL connector, which shades Kafka's classes."""


@dataclass(frozen=True)
class ConnectionSecurity:
    """Security protocol of a connection, and its credentials if it uses SASL."""

    protocol: str
    mechanism: str = ""
    username: str = ""
    password: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> "ConnectionSecurity":
        """Return the security of this deployment. Raises OSError if the embedded broker's password cannot be read."""
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
        secret = "" if password is None else password.get_secret_value()
        return cls(protocol, settings.kafka_sasl_mechanism, settings.kafka_sasl_username, secret)


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options of an aiokafka client."""
    security = ConnectionSecurity.from_settings(settings)
    options: dict[str, Any] = {"bootstrap_servers": settings.platform_bootstrap, "security_protocol": security.protocol}
    if (context := ssl_context(settings)) is not None:
        options["ssl_context"] = context
    if security.mechanism:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return options


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of a Faust app: its brokers and credentials."""
    from faust import SASLCredentials, SSLCredentials  # only the Faust processes import it

    security, context = ConnectionSecurity.from_settings(settings), ssl_context(settings)
    credentials: SASLCredentials | SSLCredentials | None = None
    if security.mechanism:
        credentials = SASLCredentials(
            username=security.username, password=security.password, ssl_context=context, mechanism=security.mechanism
        )
    elif context is not None:
        credentials = SSLCredentials(context)
    return {
        "broker": f"aiokafka://{settings.platform_bootstrap.replace(',', ';aiokafka://')}",
        "broker_credentials": credentials,
    }


def java_properties(settings: Settings) -> dict[str, str]:
    """Return the properties of a Kafka client in Flink's SQL connector."""
    security = ConnectionSecurity.from_settings(settings)
    properties = {"bootstrap.servers": settings.platform_bootstrap, "security.protocol": security.protocol}
    if security.mechanism:
        username, password = (
            text.replace("\\", "\\\\").replace('"', '\\"') for text in (security.username, security.password)
        )
        module = "plain.PlainLoginModule" if security.mechanism == "PLAIN" else "scram.ScramLoginModule"
        properties["sasl.mechanism"] = security.mechanism
        properties["sasl.jaas.config"] = _JAAS.format(module=module, username=username, password=password)
    if settings.kafka_ssl_cafile is not None:
        properties["ssl.truststore.type"] = "PEM"
        properties["ssl.truststore.location"] = str(settings.kafka_ssl_cafile.resolve())
    if settings.kafka_ssl_certfile is not None and settings.kafka_ssl_keyfile is not None:
        properties["ssl.keystore.type"] = "PEM"
        properties["ssl.keystore.certificate.chain"] = settings.kafka_ssl_certfile.read_text()
        properties["ssl.keystore.key"] = settings.kafka_ssl_keyfile.read_text()
    return properties


def ssl_context(settings: Settings) -> SSLContext | None:
    """Return the certificates of a TLS connection, or None without TLS. Raises OSError if a file cannot be read."""
    if settings.embedded_kafka or not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context: SSLContext = create_ssl_context(
        cafile=settings.kafka_ssl_cafile, certfile=settings.kafka_ssl_certfile, keyfile=settings.kafka_ssl_keyfile
    )
    return context
