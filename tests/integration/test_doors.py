"""What the platform's processes listen to: this machine alone, and Flink's Java process to nobody else."""

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


def processes(stack: Stack, *names: str) -> Iterator[psutil.Process]:
    for name in names or read_pids(stack.settings):
        process = psutil.Process(stack.pid(name))
        yield from (process, *process.children(recursive=True))


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    found = [known.laddr for known in process.net_connections("inet") if known.status == psutil.CONN_LISTEN]
    return [(address.ip.removeprefix("::ffff:"), address.port) for address in found]


def test_every_process_listens_on_this_machine_alone(stack: Stack) -> None:
    addresses = {process.pid: listening(process) for process in processes(stack)}
    assert sum(map(len, addresses.values())) > 5
    assert {ip for found in addresses.values() for ip, _ in found} <= {"127.0.0.1", "::1"}


def test_flink_answers_nobody_without_its_certificate_or_token(stack: Stack, tmp_path: Path) -> None:
    [java] = [process for process in processes(stack, "preprocess") if process.name() == "java"]
    ports = {port for _, port in listening(java)} - {stack.settings.preprocess_metrics_port}
    assert len(ports) >= 3  # the gateway, REST, the blob server
    said = {port: without_a_certificate(port) for port in ports}
    # REST and the blob server are in the middle of a handshake when they see that there is none.
    assert sum("CERTIFICATE" in reason for reason in said.values()) == len(ports) - 1, said
    for port in ports:
        made = tmp_path / str(port)
        spoken = b"A\nno-token\ni\njava.io.FileOutputStream\ns%b\ne\n" % bytes(made)  # Py4J
        requested = b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        stored = b"\x00\x00" + bytes(64)  # the blob server's PUT
        answers = [exchanged(port, some) for some in (spoken, requested, stored)]
        assert not made.exists()
        assert not [answer for answer in answers if b"200 OK" in answer or answer.startswith((b"!y", b"\x00"))], answers


def without_a_certificate(port: int) -> str:
    """How a TLS client without a certificate is refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as caller:
            caller.sendall(b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return repr(caller.recv(100))
    except OSError as error:
        return str(error)


def exchanged(port: int, some: bytes) -> bytes:
    """What is answered to some bytes."""
    answered = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as caller, suppress(OSError):
        caller.sendall(some)
        while more := caller.recv(4096):
            answered += more
    return answered


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_request_is_answered_whatever_its_producer_compresses_with(stack: Stack, codec: str) -> None:
    async with kafka_clients.open_topic_reader(stack.settings, topics.features("letters")) as tail:
        producer = AIOKafkaProducer(bootstrap_servers=stack.settings.bootstrap, compression_type=codec)
        await producer.start()
        try:
            name = f"compressed-{codec}"
            headers = [("ce_id", name.encode()), ("ce_source", b"app")]
            await producer.send_and_wait(topics.requests("letters"), b"a" * 10_000, b"k", headers=headers)
        finally:
            await producer.stop()
        found = await tail.read_until(
            lambda records: any(header_text(record, "ce_requestid") == name for record in records)
        )
    [answer] = [record for record in found if header_text(record, "ce_requestid") == name]
    assert len(answer.value) == 10_000
