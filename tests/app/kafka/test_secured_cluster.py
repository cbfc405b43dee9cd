"""The clients of a deployment at a cluster with TLS, logins and access rules."""

import base64
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError
from py4j.java_gateway import JavaGateway

from app.kafka import client_files, clients, connection
from app.kafka.admin_requests import AclEntry
from app.settings import Settings
from app.system.jars import kafka_classpath
from app.system.java import java_binary
from tests.support.secured_broker import SecuredBroker, run_secured_broker

TOPIC = "events"


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredBroker]:
    async with run_secured_broker(tmp_path_factory.mktemp("secured")) as running:
        await running.set_passwords({"ada": "ada-secret"})
        await running.allow([AclEntry("User:ada", "Topic", TOPIC, "Write")])
        async with clients.open_admin(running.settings_of(Settings(), "admin")) as admin:
            await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        yield running


def settings_of_ada(broker: SecuredBroker, **login: Any) -> Settings:
    return Settings(**(broker.variables | {"kafka_sasl_username": "ada"} | login))


def write_token(path: Path, subject: str, signature: str = "") -> Path:
    """Write a JWT. The broker believes one without a signature, and Java's clients send one with a signature only."""
    claims = {"sub": subject, "iat": time.time() - 10, "exp": time.time() + 3600, "scope": "kafka"}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    path.write_text(".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), signature]))
    return path


async def write(settings: Settings) -> None:
    async with clients.create_producer(settings) as producer:
        await producer.send_and_wait(TOPIC, b"{}")


async def test_a_new_connection_reads_the_password_again(broker: SecuredBroker, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("ada-secret\n")
    client = clients.create_client(settings_of_ada(broker, kafka_sasl_password_file=password))
    await client.bootstrap()
    await client.close()
    try:
        await broker.set_passwords({"ada": "next"})
        with pytest.raises(KafkaError):
            await client.bootstrap()
        password.write_text("next\n")
        await client.bootstrap()
    finally:
        await client.close()
        await broker.set_passwords({"ada": "ada-secret"})


async def test_a_new_connection_reads_the_token_again(broker: SecuredBroker, tmp_path: Path) -> None:
    path = tmp_path / "token"
    config = settings_of_ada(broker, kafka_sasl_mechanism="OAUTHBEARER", kafka_sasl_token_file=path)
    with pytest.raises((KafkaError, OSError)):
        await write(config)
    write_token(path, "ada")
    await write(config)


async def test_an_application_writes_compressed_records_with_the_same_settings(broker: SecuredBroker) -> None:
    config = settings_of_ada(broker, kafka_sasl_password="ada-secret", kafka_options={"client_id": "shop"})
    options = connection.application_options(config)
    assert (options["client_id"], options["sasl_plain_username"], config.compression) == ("shop", "ada", "zstd")
    await write(config)


@pytest.fixture(scope="module")
def java() -> Iterator[JavaGateway]:
    """A Java process with Kafka's classes, and a password in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINDSIGHT_KAFKA_SASL_PASSWORD", "ada-secret")
        gateway = JavaGateway.launch_gateway(
            classpath=os.pathsep.join(map(str, kafka_classpath())), java_path=str(java_binary()), die_on_exit=True
        )
    yield gateway
    gateway.shutdown()
    gateway.java_process.stdin.close()
    gateway.java_process.wait(30)


@pytest.mark.parametrize("login", ["variable", "file", "token"])
def test_a_java_client_runs_with_the_printed_configuration(
    broker: SecuredBroker, java: JavaGateway, login: str, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("ada-secret")
    token = write_token(tmp_path / "token", "ada", "signature")
    logins: dict[str, dict[str, Any]] = {
        "variable": {"kafka_sasl_password": "ada-secret"},
        "file": {"kafka_sasl_password_file": password},
        "token": {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_sasl_token_file": token},
    }
    config = settings_of_ada(broker, **logins[login])
    properties = java.jvm.java.util.Properties()
    for line in client_files.java_lines(config):
        assert "ada-secret" not in line
        if line.startswith("# Start Java with -D"):
            java.jvm.java.lang.System.setProperty(*line.removeprefix("# Start Java with -D").split("=", 1))
        else:
            properties.setProperty(*line.split("=", 1))
    admin = java.jvm.org.apache.kafka.clients.admin.Admin.create(properties)
    if login != "token":
        assert set(admin.listTopics().names().get()) == {TOPIC}
    admin.close()


def test_the_configuration_of_kcat_names_the_file_of_the_password(broker: SecuredBroker, tmp_path: Path) -> None:
    config = settings_of_ada(broker, kafka_sasl_password_file=tmp_path / "password")
    assert client_files.kcat_lines(config) == [
        f"bootstrap.servers=127.0.0.1:{broker.port}",
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-512",
        "sasl.username=ada",
        f'# Add to the command: -X sasl.password="$(cat {tmp_path}/password)"',
        f"ssl.ca.location={broker.folder}/ca.pem",
    ]
