"""Connection options of Kafka clients: the platform's with aiokafka, Faust and Java, and those of applications."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.kafka import credentials, platform_secret
from app.kafka.credentials import ClusterTls, PasswordFile, TokenFile
from app.settings import Settings

credentials.install()

READ_COMMITTED = "read_committed"
"""Isolation level that hides the records of aborted and of open transactions."""
KAFKA = "org.apache.kafka"
"""The Java package of Kafka's clients."""
SHADED = f"org.apache.flink.kafka.shaded.{KAFKA}"
"""The package of the same classes in Flink's SQL connector."""
_MODULES = {"PLAIN": "plain.PlainLoginModule", "OAUTHBEARER": "oauthbearer.OAuthBearerLoginModule"}
_FAUST_NAMES = {
    "client_id": ("broker_client_id",),
    "connections_max_idle_ms": ("consumer_connections_max_idle_ms", "producer_connections_max_idle_ms"),
    "metadata_max_age_ms": ("consumer_metadata_max_age_ms", "producer_metadata_max_age_ms"),
}
"""The settings of Faust for the options of aiokafka; it has none for the others."""


@dataclass(frozen=True)
class ConnectionSecurity:
    """Security protocol of a connection, and its credentials if it uses SASL."""

    protocol: str
    mechanism: str = ""
    username: str = ""
    password: str | PasswordFile = ""
    token_file: Path | None = None

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
        protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
        if not protocol.startswith("SASL"):
            return cls(protocol)
        if mechanism == "OAUTHBEARER":
            return cls(protocol, mechanism, token_file=settings.kafka_sasl_token_file)
        password = settings.kafka_sasl_password
        secret = "" if password is None else password.get_secret_value()
        path = settings.kafka_sasl_password_file
        return cls(protocol, mechanism, settings.kafka_sasl_username, PasswordFile(path) if path else secret)


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options of an aiokafka client."""
    security = ConnectionSecurity.from_settings(settings)
    options: dict[str, Any] = {
        **{str(name): value for name, value in settings.kafka_options.items()},
        "bootstrap_servers": settings.platform_bootstrap,
        "security_protocol": security.protocol,
    }
    if (context := ssl_context(settings)) is not None:
        options["ssl_context"] = context
    if security.token_file is not None:
        options |= {"sasl_mechanism": security.mechanism, "sasl_oauth_token_provider": TokenFile(security.token_file)}
    elif security.mechanism:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return options


def application_options(settings: Settings) -> dict[str, Any]:
    """Return the options of an application's client: none at the embedded broker, which asks it for no password."""
    return {} if settings.embedded_kafka else client_options(settings)


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of a Faust app: its brokers, credentials and compression."""
    from faust import OAuthCredentials, SASLCredentials, SSLCredentials  # only the Faust processes import it

    security, context = ConnectionSecurity.from_settings(settings), ssl_context(settings)
    login: OAuthCredentials | SASLCredentials | SSLCredentials | None = None
    if security.token_file is not None:
        login = OAuthCredentials(oauth_cb=TokenFile(security.token_file), ssl_context=context)
    elif security.mechanism:
        password: Any = security.password  # Faust hands it to aiokafka as it is
        login = SASLCredentials(
            username=security.username, password=password, ssl_context=context, mechanism=security.mechanism
        )
    elif context is not None:
        login = SSLCredentials(context)
    return {
        "broker": f"aiokafka://{settings.platform_bootstrap.replace(',', ';aiokafka://')}",
        "broker_credentials": login,
        "producer_compression_type": producer_compression(settings),
        **{name: value for option, value in settings.kafka_options.items() for name in _FAUST_NAMES.get(option, ())},
    }


def java_properties(settings: Settings) -> dict[str, str]:
    """Return the properties of a Kafka client in Flink's SQL connector. It reads a password once, when it starts."""
    security = ConnectionSecurity.from_settings(settings)
    password = security.password.read() if isinstance(security.password, PasswordFile) else security.password
    return {
        "bootstrap.servers": settings.platform_bootstrap,
        **java_security(security, password, SHADED),
        **_java_certificates(settings),
        **settings.kafka_java_options,
    }


def java_security(security: ConnectionSecurity, password: str, package: str) -> dict[str, str]:
    """Return the properties of the security of a Java client whose classes are in this package."""
    properties = {"security.protocol": security.protocol}
    if not security.mechanism:
        return properties
    module = _MODULES.get(security.mechanism, "scram.ScramLoginModule")
    login = f"{package}.common.security.{module} required"
    properties["sasl.mechanism"] = security.mechanism
    if security.token_file is not None:
        handler = f"{package}.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
        return properties | {
            "sasl.jaas.config": f"{login};",
            "sasl.login.callback.handler.class": handler,
            "sasl.oauthbearer.token.endpoint.url": security.token_file.resolve().as_uri(),
        }
    username, password = (text.replace("\\", "\\\\").replace('"', '\\"') for text in (security.username, password))
    return properties | {"sasl.jaas.config": f'{login} username="{username}" password="{password}";'}


def java_system_properties(settings: Settings, package: str = SHADED) -> dict[str, str]:
    """Return what a Java client's process itself must be told: Kafka 4 reads a token from an allowed file only."""
    if (path := ConnectionSecurity.from_settings(settings).token_file) is None:
        return {}
    allowed = f"{package}.sasl.oauthbearer.allowed"
    return {f"{allowed}.files": str(path.resolve()), f"{allowed}.urls": path.resolve().as_uri()}


def _java_certificates(settings: Settings) -> dict[str, str]:
    properties = {}
    if settings.kafka_ssl_cafile is not None:
        properties["ssl.truststore.type"] = "PEM"
        properties["ssl.truststore.location"] = str(settings.kafka_ssl_cafile.resolve())
    if settings.kafka_ssl_certfile is not None and settings.kafka_ssl_keyfile is not None:
        properties["ssl.keystore.type"] = "PEM"
        properties["ssl.keystore.certificate.chain"] = settings.kafka_ssl_certfile.read_text()
        properties["ssl.keystore.key"] = settings.kafka_ssl_keyfile.read_text()
    return properties


def producer_compression(settings: Settings) -> str | None:
    """Return the compression of a producer in Python."""
    return None if settings.compression == "none" else settings.compression


def ssl_context(settings: Settings) -> ClusterTls | None:
    """Return the certificates of a TLS connection, or None without TLS. Raises OSError if a file cannot be read."""
    if settings.embedded_kafka or not settings.kafka_security_protocol.endswith("SSL"):
        return None
    return credentials.cluster_tls(settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
