"""A broker that asks each client for TLS and a login, and has access rules, as a company's cluster does."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from app.embedded import broker, ports
from app.kafka.admin_requests import AclEntry, AlterUserScramCredentials, CreateAcls, raise_on_error, send
from app.kafka.credentials import cluster_tls
from app.settings import Settings

_SECURITY = "org.apache.kafka.common.security"
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
sasl.mechanism.inter.broker.protocol=PLAIN
log.dirs={folder}/data
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.clients.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.clients.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.clients.plain.sasl.jaas.config={security}.plain.PlainLoginModule required \
username="admin" password="admin-secret" user_admin="admin-secret";
listener.name.clients.oauthbearer.sasl.jaas.config={security}.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
listener.name.clients.oauthbearer.sasl.server.callback.handler.class=\
{security}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
listener.name.clients.oauthbearer.sasl.login.callback.handler.class=\
{security}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredLoginCallbackHandler
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
message.max.bytes=67108864
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


@dataclass(frozen=True)
class SecuredBroker:
    """A running broker. Its users have the password `<name>-secret`."""

    folder: Path
    port: int

    @property
    def variables(self) -> dict[str, Any]:
        """The settings that all its users share."""
        return {
            "kafka_bootstrap": f"127.0.0.1:{self.port}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ssl_cafile": self.folder / "ca.pem",
            "replication": 1,
            "single_host": True,
        }

    def settings_of(self, settings: Settings, user: str) -> Settings:
        """Return the settings with which a user logs in."""
        mechanism = "PLAIN" if user == "admin" else "SCRAM-SHA-512"
        values = settings.model_dump(exclude_unset=True, exclude={"kafka_sasl_token_file"}) | self.variables
        login = {
            "kafka_sasl_mechanism": mechanism,
            "kafka_sasl_username": user,
            "kafka_sasl_password": f"{user}-secret",
        }
        return Settings(**(values | login))

    def client(self) -> AIOKafkaClient:
        """Return a client of the administrator."""
        return AIOKafkaClient(
            bootstrap_servers=f"127.0.0.1:{self.port}",
            security_protocol="SASL_SSL",
            ssl_context=cluster_tls(self.folder / "ca.pem", None, None),
            sasl_mechanism="PLAIN",
            sasl_plain_username="admin",
            sasl_plain_password="admin-secret",
        )

    async def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Create users, or change their passwords."""
        await self._request(*(AlterUserScramCredentials(user, word) for user, word in passwords.items()))

    async def allow(self, entries: Iterable[AclEntry]) -> None:
        """Add access rules."""
        await self._request(CreateAcls(list(entries)))

    async def _request(self, *requests: Any) -> None:
        client = self.client()
        try:
            await client.bootstrap()
            for request in requests:
                response = await send(client, request)
                if isinstance(request, CreateAcls):
                    raise_on_error(response.creation_responses)
                else:
                    raise_on_error([(code, reason) for _, code, reason, _ in response.results])
        finally:
            await client.close()


@asynccontextmanager
async def run_secured_broker(folder: Path) -> AsyncIterator[SecuredBroker]:
    """Run a broker for as long as the block lasts."""
    port, controller = ports.free_ports(2)
    _write_certificate(folder)
    properties = folder / "server.properties"
    properties.write_text(_PROPERTIES.format(port=port, controller=controller, folder=folder, security=_SECURITY))
    settings = Settings(kafka_heap="256m")
    broker.format_storage(settings, properties)
    process = _start(folder, broker.java_command(settings, "kafka.Kafka", str(properties)))
    try:
        running = SecuredBroker(folder, port)
        await _wait_until_it_answers(running, process)
        yield running
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


def _start(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    with (folder / "broker.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


async def _wait_until_it_answers(running: SecuredBroker, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        client = running.client()
        try:
            await client.bootstrap()
        except (KafkaError, OSError):
            assert process.poll() is None, (running.folder / "broker.log").read_text()
            await asyncio.sleep(0.2)
        else:
            return
        finally:
            await client.close()
    raise AssertionError((running.folder / "broker.log").read_text())


def _write_certificate(folder: Path) -> None:
    """Write broker.pem, a key with its self-signed certificate, and ca.pem, the certificate alone."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
