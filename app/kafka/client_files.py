"""Configurations of other clients of the cluster, kcat's and Java's, without the secrets: they name where these are."""

from app.kafka import connection
from app.kafka.connection import ConnectionSecurity
from app.settings import Settings

_PASSWORD_VARIABLE = "HINDSIGHT_KAFKA_SASL_PASSWORD"  # noqa: S105  # a name
_PROVIDERS = f"{connection.KAFKA}.common.config.provider"


def kcat_lines(settings: Settings) -> list[str]:
    """Return the file for `kcat -F`, with librdkafka's names. A comment names the option of the password."""
    security = _application_security(settings)
    lines = [f"bootstrap.servers={settings.bootstrap}", f"security.protocol={security.protocol}"]
    if security.token_file is not None:
        lines += [
            f"sasl.mechanism={security.mechanism}",
            f"# librdkafka reads no token from a file ({security.token_file}): set its sasl.oauthbearer.* options.",
        ]
    elif security.mechanism:
        path = settings.kafka_sasl_password_file
        secret = f"$(cat {path.resolve()})" if path else f"${_PASSWORD_VARIABLE}"
        lines += [
            f"sasl.mechanism={security.mechanism}",
            f"sasl.username={security.username}",
            f'# Add to the command: -X sasl.password="{secret}"',
        ]
    files = {
        "ssl.ca.location": settings.kafka_ssl_cafile,
        "ssl.certificate.location": settings.kafka_ssl_certfile,
        "ssl.key.location": settings.kafka_ssl_keyfile,
    }
    return lines + [f"{name}={path.resolve()}" for name, path in files.items() if path is not None]


def java_lines(settings: Settings) -> list[str]:
    """Return the properties of a Java client. It gets the password from its file or the environment, when it starts.

    A password file must not end with a line's end, which Java would take for a part of the password.
    """
    security, path = _application_security(settings), settings.kafka_sasl_password_file
    properties = {"bootstrap.servers": settings.bootstrap}
    secret = ""
    if security.mechanism and security.token_file is None:
        provider = "directory" if path else "env"
        java_class = "DirectoryConfigProvider" if path else "EnvVarConfigProvider"
        properties |= {"config.providers": provider, f"config.providers.{provider}.class": f"{_PROVIDERS}.{java_class}"}
        secret = f"${{directory:{path.resolve().parent}:{path.name}}}" if path else f"${{env:{_PASSWORD_VARIABLE}}}"
    properties |= connection.java_security(security, secret, connection.KAFKA)
    if settings.kafka_ssl_cafile is not None:
        properties |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(settings.kafka_ssl_cafile.resolve()),
        }
    options = connection.java_system_properties(settings, connection.KAFKA)
    comments = [f"# Start Java with -D{name}={value}" for name, value in options.items()]
    if settings.kafka_ssl_keyfile is not None:
        comments.append(
            "# Add ssl.keystore.type=PEM and ssl.keystore.location, a file with the key and the certificate."
        )
    return [*comments, *(f"{name}={value}" for name, value in (properties | settings.kafka_java_options).items())]


def _application_security(settings: Settings) -> ConnectionSecurity:
    return ConnectionSecurity("PLAINTEXT") if settings.embedded_kafka else ConnectionSecurity.from_settings(settings)
