"""The embedded broker: Apache Kafka (KRaft, one node). `python -m app.embedded.broker` becomes the broker process."""

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
# Written at every start by app/embedded/broker.py: edit that file, not this one.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{bind}:{port},PLATFORM://{bind}:{platform_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{public}:{port},PLATFORM://{host}:{platform_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLATFORM:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
log.dirs={data}

# The access rules are in app/embedded/broker_acls.py.
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

# Only app/kafka/provisioning.py creates topics: a typing error must not.
auto.create.topics.enable=false
num.partitions={partitions}
default.replication.factor=1
log.message.timestamp.type=LogAppendTime
message.max.bytes={max_message}
replica.fetch.max.bytes={max_message}
replica.fetch.response.max.bytes={max_message}

# No retention by age or size: the platform deletes records once they are archived. Only whole segments are removed.
log.retention.ms=-1
log.retention.bytes=-1
log.segment.bytes={segment}
offsets.retention.minutes={offsets_retention}

# The operating system decides when to flush (no log.flush.*): a killed broker loses no acknowledged record, a crash of
# the machine may. Replication protects against that, at a lower cost than a flush per record.

# One node.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
# Records behind an open transaction wait for its end: a minute is the default of most producers.
transaction.max.timeout.ms=60000
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# A single worker does not wait for others to join, and a dead worker is noticed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=1000

# A killed broker can restart only after its old session has ended: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# A small machine.
num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.dedupe.buffer.size={cleaner}
"""

# No -XX:+ExitOnOutOfMemoryError: a record that expands too far should fail one request only. If the whole broker is
# affected, it does not answer the watchdog, which restarts it.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",  # least memory; pauses are short on a small heap
    "-Xms64m",  # by default the heap begins with 1/64 of the machine's memory
    "-XX:TieredStopAtLevel=1",  # faster start; most of a broker's work (copying, checksums) is native code
    "-XX:MaxDirectMemorySize=256m",
    "-Djdk.nio.maxCachedBufferSize=1048576",  # otherwise each thread keeps a buffer as large as its largest message
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    # Both loggers warn at every start and stop of a single node.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller.QuorumController=error",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)


def write_properties(config: Settings) -> Path:
    """Write server.properties from the settings. Return its path."""
    folder = (config.home / "kafka").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path, password = folder / "server.properties", secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        PROPERTIES.format(
            bind=config.kafka_host,
            host=config.host_of("kafka"),
            public=config.kafka_advertised_host or config.host_of("kafka"),
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
    """Return the command line that runs one of Kafka's main classes."""
    classpath = os.pathsep.join(map(str, jars.kafka_classpath()))
    return [str(java.java_binary()), f"-Xmx{config.kafka_heap}", *JVM_OPTIONS, "-cp", classpath, main, *arguments]


def broker_command(config: Settings, properties: Path) -> list[str]:
    """Return the broker's command line. It exports metrics at `kafka_metrics_port`: see docker/prometheus/kafka.yml."""
    program, *rest = java_command(config, "kafka.Kafka", str(properties))
    agent = (
        f"-javaagent:{jars.jar_path(jars.METRICS)}={config.kafka_host}:{config.kafka_metrics_port}:{EXPORTER_CONFIG}"
    )
    return [program, agent, *rest]


def format_storage(config: Settings, properties: Path) -> None:
    """Give the log directory a random cluster id, unless it has one (meta.properties). Raises SetupError."""
    if (properties.parent / "data" / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # With "=": an id may start with a dash, which Kafka's tools would parse as an option.
    command = java_command(
        config, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)
    )
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(
            f"Kafka's storage cannot be formatted in {properties.parent}: {(result.stderr + result.stdout).strip()}",
            f"Remove {properties.parent} if its records are not needed, and start again.",
        )


def cluster_id(config: Settings) -> str | None:
    """Return the cluster id of the embedded broker's storage, or None before its first start."""
    try:
        lines = (config.home / "kafka" / "data" / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), None)


async def is_reachable(config: Settings) -> bool:
    """Return whether a broker answers at the configured address."""
    client = clients.create_client(config, request_timeout_ms=5000)
    try:
        await client.bootstrap()
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
    return True


async def is_ready_with_acls(config: Settings) -> bool:
    """Configure the embedded broker's access rules. Return whether that worked and the broker answers."""
    try:
        await broker_acls.configure_acls(config, config.home / "kafka" / "server.properties")
    except (KafkaError, OSError, ValueError):
        return False
    return await is_reachable(config)


async def wait(
    config: Settings, seconds: float, is_ready: Callable[[Settings], Awaitable[bool]] = is_reachable
) -> bool:
    """Wait until a broker answers. Return False if none answers in time."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # aiokafka logs every refused connection as an error
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
    """Become the broker: the process keeps its id, so that signals reach Kafka itself."""
    config = settings()
    try:
        properties = write_properties(config)
        format_storage(config, properties)
        command = broker_command(config, properties)
        os.execv(command[0], command)  # noqa: S606
    except SetupError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: the broker cannot start in {config.home}: {error}")


if __name__ == "__main__":
    main()
