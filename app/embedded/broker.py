"""The embedded broker: a real Apache Kafka (KRaft, one node). `python -m app.embedded.broker` becomes its process."""

import asyncio
import base64
import logging
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiokafka.errors import KafkaError

from app.embedded import broker_acls
from app.errors import SetupError
from app.kafka import clients, platform_secret
from app.settings import CHECKOUT, MiB, Settings, settings
from app.system import jars, java

# Above every topic's own max.message.bytes; the broker's socket.request.max.bytes is 100 MiB.
MAX_MESSAGE_BYTES = 64 * MiB
EXPORTER_CONFIG = CHECKOUT / "docker" / "prometheus" / "kafka.yml"
CENTURY_MINUTES = 100 * 365 * 24 * 60
_SECURITY = "org.apache.kafka.common.security"

PROPERTIES = """\
# Written at every start by app/embedded/broker.py: edit that, not this.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},PLATFORM://127.0.0.1:{platform_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PLATFORM://127.0.0.1:{platform_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLATFORM:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
log.dirs={data}

# Who may do what is said in app/embedded/broker_acls.py.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:{broker}
inter.broker.listener.name=PLATFORM
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.platform.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.platform.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.platform.plain.sasl.jaas.config={plain}
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={plain}

# Topics are made by app/events/topics.py, never by a typing error.
auto.create.topics.enable=false
num.partitions={partitions}
default.replication.factor=1
log.message.timestamp.type=LogAppendTime
message.max.bytes={max_message}
replica.fetch.max.bytes={max_message}
replica.fetch.response.max.bytes={max_message}

# Nothing is forgotten for its age or size: records are deleted once they are archived, and only whole segments go.
log.retention.ms=-1
log.retention.bytes=-1
log.segment.bytes={segment}
offsets.retention.minutes={offsets_retention}

# When a record is on disk is left to the operating system (no log.flush.*): a killed broker loses nothing that it has
# acknowledged, only a crash of the whole machine can. More brokers guard against that, a flush per record costs more.

# One node.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
# What comes behind an open transaction waits for its end: a minute is the default of most producers.
transaction.max.timeout.ms=60000
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# A lone worker need not wait for others to join, and a dead one is noticed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=1000

# A killed broker may come back only once its old session has ended: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# A small machine.
num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.dedupe.buffer.size={cleaner}
"""

# No -XX:+ExitOnOutOfMemoryError: one record that expands too far ends one request; a broker that is crippled does not
# answer the watchdog, which restarts it.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",  # the least memory, and pauses are short on so small a heap
    "-XX:TieredStopAtLevel=1",  # starts sooner; what a broker does most, copying and checksums, is native anyway
    "-XX:MaxDirectMemorySize=256m",
    "-Djdk.nio.maxCachedBufferSize=1048576",  # or each thread keeps a buffer as large as its largest message
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    # Both warn of what is normal at every start and stop of a single node.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller.QuorumController=error",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


def write_properties(config: Settings) -> Path:
    """Writes server.properties from the settings."""
    folder = (config.home / "kafka").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path, password = folder / "server.properties", secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        PROPERTIES.format(
            port=config.kafka_port,
            platform_port=config.kafka_platform_port,
            user=platform_secret.USERNAME,
            broker=broker_acls.BROKER_USER,
            module=_SECURITY,
            plain=f'{_SECURITY}.plain.PlainLoginModule required username="{broker_acls.BROKER_USER}" '
            f'password="{password}" '
            f'user_{broker_acls.BROKER_USER}="{password}";',
            controller_port=config.kafka_controller_port,
            data=folder / "data",
            partitions=config.partitions,
            max_message=MAX_MESSAGE_BYTES,
            segment=128 * MiB,
            offsets_retention=CENTURY_MINUTES,
            cleaner=16 * MiB,
        )
    )
    return path


def java_command(config: Settings, main: str, *arguments: str) -> list[str]:
    """The command line of one of Kafka's main classes."""
    classpath = os.pathsep.join(map(str, jars.kafka_classpath()))
    return [str(java.java_binary()), f"-Xmx{config.kafka_heap}", *JVM_OPTIONS, "-cp", classpath, main, *arguments]


def broker_command(config: Settings, properties: Path) -> list[str]:
    """The broker's command line; its metrics are at `kafka_metrics_port`, as docker/prometheus/kafka.yml says."""
    program, *rest = java_command(config, "kafka.Kafka", str(properties))
    agent = f"-javaagent:{jars.jar_path(jars.METRICS)}=127.0.0.1:{config.kafka_metrics_port}:{EXPORTER_CONFIG}"
    return [program, agent, *rest]


def format_storage(config: Settings, properties: Path) -> None:
    """Gives the log directory a random cluster id, once: it is kept in meta.properties from then on."""
    if (properties.parent / "data" / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # Kafka's tools take a leading dash for an option.
    line = java_command(config, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties))
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(
            f"Kafka's storage cannot be formatted in {properties.parent}: {(done.stderr + done.stdout).strip()}",
            f"If there is nothing to keep, remove {properties.parent} and start again.",
        )


def cluster_id(config: Settings) -> str | None:
    """The id that the embedded broker's storage was given, or None before its first start."""
    try:
        lines = (config.home / "kafka" / "data" / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), None)


async def is_reachable(config: Settings) -> bool:
    """Whether a broker speaks Kafka there."""
    client = clients.create_client(config, request_timeout_ms=5000)
    try:
        await client.bootstrap()
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
    return True


async def is_ready_with_acls(config: Settings) -> bool:
    """Whether the embedded broker answers, and knows from now on who may do what."""
    try:
        await broker_acls.configure_acls(config, config.home / "kafka" / "server.properties")
    except (KafkaError, OSError, ValueError):
        return False
    return await is_reachable(config)


async def wait(
    config: Settings, seconds: float, is_ready: Callable[[Settings], Awaitable[bool]] = is_reachable
) -> bool:
    """Waits until a broker answers; False when none has in time."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it reports every refused connection as an error
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if await is_ready(config):
                return True
            await asyncio.sleep(0.1)
    finally:
        logging.getLogger("aiokafka").setLevel(logging.NOTSET)
    return False


def main() -> None:
    """Becomes the broker: the process keeps its id, so that signals reach Kafka itself."""
    config = settings()
    try:
        properties = write_properties(config)
        format_storage(config, properties)
        line = broker_command(config, properties)
        os.execv(line[0], line)  # noqa: S606
    except SetupError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: the broker cannot start in {config.home}: {error}")


if __name__ == "__main__":
    main()
