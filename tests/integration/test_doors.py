"""The platform's processes listen on this machine only, and Flink's Java process answers only our own."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from app.events import topics
from tests.support import kafka_clients
from tests.support.kafka_clients import header_text
from tests.support.platform import read_pids
from tests.support.stack import Stack


def find_processes(stack: Stack, *names: str) -> Iterator[psutil.Process]:
    for name in names or read_pids(stack.settings):
        process = psutil.Process(stack.pid(name))
        yield from (process, *process.children(recursive=True))


def listening_addresses(process: psutil.Process) -> list[tuple[str, int]]:
    connections = process.net_connections("inet")
    addresses = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
    return [(address.ip.removeprefix("::ffff:"), address.port) for address in addresses]


def test_every_process_listens_on_this_machine_only(stack: Stack) -> None:
    addresses = {process.pid: listening_addresses(process) for process in find_processes(stack)}
    assert sum(map(len, addresses.values())) > 5
    assert {ip for pairs in addresses.values() for ip, _ in pairs} <= {"127.0.0.1", "::1"}


def test_flink_answers_nobody_without_its_certificate_or_token(stack: Stack, tmp_path: Path) -> None:
    [java] = [process for process in find_processes(stack, "preprocess") if process.name() == "java"]
    ports = {port for _, port in listening_addresses(java)} - {stack.settings.preprocess_metrics_port}
    assert len(ports) >= 3  # the gateway, REST, the blob server
    refusals = {port: connect_without_certificate(port) for port in ports}
    # REST and the blob server refuse during the TLS handshake.
    assert sum("CERTIFICATE" in reason for reason in refusals.values()) == len(ports) - 1, refusals
    for port in ports:
        file = tmp_path / str(port)
        py4j = b"A\nno-token\ni\njava.io.FileOutputStream\ns%b\ne\n" % bytes(file)
        http = b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        blob_put = b"\x00\x00" + bytes(64)
        answers = [exchange(port, message) for message in (py4j, http, blob_put)]
        assert not file.exists()
        assert not [answer for answer in answers if b"200 OK" in answer or answer.startswith((b"!y", b"\x00"))], answers


def connect_without_certificate(port: int) -> str:
    """Return how a TLS client without a certificate is refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return repr(connection.recv(100))
    except OSError as error:
        return str(error)


def exchange(port: int, message: bytes) -> bytes:
    """Send a message and return the answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection, suppress(OSError):
        connection.sendall(message)
        while received := connection.recv(4096):
            answer += received
    return answer


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_request_is_answered_whatever_codec_its_producer_uses(stack: Stack, codec: str) -> None:
    async with kafka_clients.open_topic_reader(stack.settings, topics.features("letters")) as features:
        producer = AIOKafkaProducer(bootstrap_servers=stack.settings.bootstrap, compression_type=codec)
        await producer.start()
        try:
            name = f"compressed-{codec}"
            headers = [("ce_id", name.encode()), ("ce_source", b"app")]
            await producer.send_and_wait(topics.requests("letters"), b"a" * 10_000, b"k", headers=headers)
        finally:
            await producer.stop()
        records = await features.read_until(
            lambda records: any(header_text(record, "ce_requestid") == name for record in records)
        )
    [record] = [record for record in records if header_text(record, "ce_requestid") == name]
    assert len(record.value) == 10_000
