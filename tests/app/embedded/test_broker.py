"""The real broker under the real supervisor."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from app.embedded import broker as kafka
from app.embedded import doctor, orphans
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.kafka import clients, platform_secret
from app.settings import MiB, Settings
from tests.support.platform import platform_settings, read_pids, run_processes

TOPIC = "events"
EARLY_MS = 1_000_000_000_000


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return platform_settings(tmp_path_factory.mktemp("kafka"))


async def provision(config: Settings) -> list[str]:
    admin = clients.create_admin(config)
    await admin.start()
    try:
        if TOPIC not in await admin.list_topics():
            limits = {"max.message.bytes": str(32 * MiB)}
            await admin.create_topics([NewTopic(TOPIC, 1, 1, topic_configs=limits)])
    finally:
        await admin.close()
    return []


async def write(config: Settings, *values: bytes) -> None:
    async with clients.create_producer(config, max_request_size=32 * MiB) as producer:
        for value in values:
            await producer.send_and_wait(TOPIC, value, timestamp_ms=EARLY_MS)


async def read(config: Settings) -> list[tuple[bytes, int]]:
    """Return every record's value and timestamp."""
    tp = TopicPartition(TOPIC, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=32 * MiB
    ) as consumer:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        records: list[tuple[bytes, int]] = []
        while await consumer.position(tp) < end:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += [(record.value, record.timestamp) for record in batch]
        return records


async def test_nothing_acknowledged_is_lost_by_a_kill_a_stop_or_a_new_password(
    config: Settings,
) -> None:
    large = os.urandom(16 * MiB)
    async with run_processes(config, provision=provision) as supervisor:
        await write(config, b"before", large)
        broker = supervisor.processes["kafka"]
        pid = read_pids(config)["kafka"]
        assert psutil.Process(pid).name() == "java"  # the supervised process is the broker itself

        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        assert await kafka.wait(config, 60)
        assert broker.restarts == 1
        await write(config, b"after")
        records = await read(config)
        assert [value for value, _ in records] == [b"before", large, b"after"]
        assert all(timestamp > EARLY_MS for _, timestamp in records), "the broker's clock counts, not the producer's"

        with pytest.raises(SetupError, match="already runs"):
            await Supervisor(config, only=["kafka"]).start()
        cluster = kafka.cluster_id(config)
        checks = {check.name: check for check in await asyncio.to_thread(doctor.run_checks, config)}
        assert checks["kafka"].status == "ok"
        assert f"process {os.getpid()}" in checks["platform"].detail
        assert checks[f"port {config.kafka_port}"].detail.startswith("held by our own kafka")
    assert orphans.find_processes(config.home) == []

    before = platform_secret.load_or_create_password(config.home)
    platform_secret.path_of(config.home).unlink()
    async with run_processes(config, provision=provision):  # the second start
        assert platform_secret.load_or_create_password(config.home) != before
        await write(config, b"at last")
        assert [value for value, _ in await read(config)] == [b"before", large, b"after", b"at last"]
        assert kafka.cluster_id(config) == cluster
    assert orphans.find_processes(config.home) == []


async def test_a_taken_port_is_reported_before_anything_starts(config: Settings) -> None:
    message = f"Port {config.kafka_port}, needed by kafka, is held by"
    with socket.create_server(("127.0.0.1", config.kafka_port)), pytest.raises(SetupError, match=message) as caught:
        await Supervisor(config, only=["kafka"]).start()
    assert "HINDSIGHT_KAFKA_PORT=" in caught.value.remedy


def test_the_brokers_properties_come_from_the_settings(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, partitions=7)
    lines = kafka.write_properties(config).read_text().splitlines()
    advertised = f"PLAINTEXT://127.0.0.1:{config.kafka_port},PLATFORM://127.0.0.1:{config.kafka_platform_port}"
    assert f"advertised.listeners={advertised}" in lines
    assert "num.partitions=7" in lines
    assert "log.message.timestamp.type=LogAppendTime" in lines
    assert "auto.create.topics.enable=false" in lines


def test_a_home_without_a_broker_has_no_cluster_id(tmp_path: Path) -> None:
    assert kafka.cluster_id(platform_settings(tmp_path)) is None


def test_a_storage_that_cannot_be_formatted_is_an_error(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    properties = kafka.write_properties(config)
    properties.write_text("node.id=1\n")
    with pytest.raises(SetupError, match="cannot be formatted"):
        kafka.format_storage(config, properties)
