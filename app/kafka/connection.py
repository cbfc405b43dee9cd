"""How the platform's processes connect to Kafka, in the terms of aiokafka, Faust and Java."""

from ssl import SSLContext
from typing import Any

from aiokafka.helpers import create_ssl_context

from app.settings import Settings

READ_COMMITTED = "read_committed"
"""What a transaction has aborted is not there; what is in an open one is not there yet."""
_JAAS = (
    "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.{module} required "
    'username="{username}" password="{password}";'
)
"""The class as Flink's SQL connector shades it."""


def options(settings: Settings) -> dict[str, Any]:
    """The options of every aiokafka client."""
    found: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if (context := ssl_context(settings)) is not None:
        found["ssl_context"] = context
    if _sasl(settings):
        username, password = _login(settings)
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": username,
            "sasl_plain_password": password,
        }
    return found


def faust_settings(settings: Settings) -> dict[str, Any]:
    """The settings of a Faust app: its brokers and what it proves itself by."""
    from faust import SASLCredentials, SSLCredentials  # of the Faust processes only

    context = ssl_context(settings)
    credentials: SASLCredentials | SSLCredentials | None = None
    if _sasl(settings):
        username, password = _login(settings)
        credentials = SASLCredentials(
            username=username, password=password, ssl_context=context, mechanism=settings.kafka_sasl_mechanism
        )
    elif context is not None:
        credentials = SSLCredentials(context)
    return {
        "broker": f"aiokafka://{settings.bootstrap.replace(',', ';aiokafka://')}",
        "broker_credentials": credentials,
    }


def java_properties(settings: Settings) -> dict[str, str]:
    """The properties of a Kafka client in Flink's SQL connector."""
    found = {"bootstrap.servers": settings.bootstrap, "security.protocol": settings.kafka_security_protocol}
    if _sasl(settings):
        username, password = (text.replace("\\", "\\\\").replace('"', '\\"') for text in _login(settings))
        plain = settings.kafka_sasl_mechanism == "PLAIN"
        module = "plain.PlainLoginModule" if plain else "scram.ScramLoginModule"
        found["sasl.mechanism"] = settings.kafka_sasl_mechanism
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
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context: SSLContext = create_ssl_context(
        cafile=settings.kafka_ssl_cafile, certfile=settings.kafka_ssl_certfile, keyfile=settings.kafka_ssl_keyfile
    )
    return context


def _sasl(settings: Settings) -> bool:
    return settings.kafka_security_protocol.startswith("SASL")


def _login(settings: Settings) -> tuple[str, str]:
    password = settings.kafka_sasl_password
    return settings.kafka_sasl_username, "" if password is None else password.get_secret_value()
