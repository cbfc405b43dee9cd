"""Connection options of one deployment, for three clients."""

import ssl
from pathlib import Path

import pytest
from faust import SASLCredentials
from pydantic import SecretStr

from app.kafka import connection, platform_secret
from app.settings import Settings


@pytest.fixture
def cluster(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        kafka_bootstrap="one:9093,two:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="ada",
        kafka_sasl_password=SecretStr('quo"te\\'),
    )


def test_a_cluster_with_sasl_and_tls_is_configured_for_each_client(cluster: Settings) -> None:
    options = connection.client_options(cluster)
    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "one:9093,two:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ada",
        "sasl_plain_password": 'quo"te\\',
    }
    java = connection.java_properties(cluster)
    assert java.pop("sasl.jaas.config").endswith(
        '.scram.ScramLoginModule required username="ada" password="quo\\"te\\\\";'
    )
    assert java == {
        "bootstrap.servers": "one:9093,two:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
    }
    faust = connection.faust_settings(cluster)
    credentials = faust["broker_credentials"]
    assert isinstance(credentials, SASLCredentials)
    assert (faust["broker"], credentials.username) == ("aiokafka://one:9093;aiokafka://two:9093", "ada")


def test_a_cluster_without_security_needs_no_credentials(cluster: Settings) -> None:
    plain = cluster.model_copy(update={"kafka_security_protocol": "PLAINTEXT"})
    assert connection.client_options(plain) == {
        "bootstrap_servers": "one:9093,two:9093",
        "security_protocol": "PLAINTEXT",
    }
    assert connection.faust_settings(plain)["broker_credentials"] is None


def test_the_embedded_broker_has_a_listener_and_a_password_for_the_platform(tmp_path: Path) -> None:
    config = Settings(home=tmp_path, kafka_bootstrap="")
    options = connection.client_options(config)
    assert (options["bootstrap_servers"], config.bootstrap) == ("127.0.0.1:9094", "127.0.0.1:9092")
    assert (
        options["sasl_plain_password"]
        == platform_secret.load_or_create_password(tmp_path)
        == connection.client_options(config)["sasl_plain_password"]
    )
    assert len(platform_secret.load_or_create_password(tmp_path)) > 40
