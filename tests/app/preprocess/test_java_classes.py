import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import JavaGateway

from app.events.cloudevents import Record
from app.preprocess.flink_kafka import encode_output
from app.preprocess.java_classes import flink_classpath
from app.preprocess.java_process import end_java, start_java
from app.settings import Settings
from app.system.pyflink import prepare_java

HEADERS = (("ce_id", b"1"), ("ce_id", b"2"), ("größe", b"\x00\xff"), ("empty", b""))


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaGateway]:
    """Flink's Java process with our classes, apart from PyFlink's own."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("PYTHONPATH", "JAVA_HOME", "JVM_ARGS", "FLINK_LOG_DIR", "_python_worker_execution_mode"):
            patched.setenv(name, "")
        patched.setattr(sys, "path", [*sys.path])
        prepare_java(Settings(home=tmp_path_factory.mktemp("home")))
        gateway = start_java(flink_classpath())
    yield gateway
    end_java(gateway)


def kafka(java: JavaGateway) -> Any:
    return java.jvm.org.apache.flink.kafka.shaded.org.apache.kafka


def read(java: JavaGateway, offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> tuple[Any, ...]:
    headers = kafka(java).common.header.internals.RecordHeaders()
    for name, data in HEADERS:
        headers.add(name, data)
    headers.add("null", None)
    kind = kafka(java).common.record.TimestampType.LOG_APPEND_TIME
    none = java.jvm.java.util.Optional.empty()
    record = kafka(java).clients.consumer.ConsumerRecord(
        "ocr.requests", 3, offset, timestamp, kind, 0, 0, key, value, headers, none
    )
    read_records = java.jvm.java.util.ArrayList()
    collector = java.jvm.org.apache.flink.api.common.functions.util.ListCollector(read_records)
    java.jvm.hindsight.RequestReader().deserialize(record, collector)
    fields: tuple[Any, ...] = marshal.loads(read_records[0])
    return fields


@pytest.mark.parametrize("offset", [0, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("timestamp", [-1, 1_800_000_000_123])
def test_a_record_of_kafka_is_read_with_its_position_and_headers(
    java: JavaGateway, offset: int, timestamp: int
) -> None:
    fields = read(java, offset, timestamp, b"key", b"\x00value")
    assert fields == ("ocr.requests", 3, offset, timestamp, b"key", b"\x00value", (*HEADERS, ("null", None)))


def test_a_record_without_key_and_value_is_read(java: JavaGateway) -> None:
    assert read(java, 1, 1, None, None)[4:6] == (None, None)


@pytest.mark.parametrize("value", [b"", bytes(range(256)), None])
def test_an_output_is_written_with_its_headers(java: JavaGateway, value: bytes | None) -> None:
    output = encode_output(Record("ocr.features", b"key", value, HEADERS))
    record = java.jvm.hindsight.OutputWriter().serialize(output, None, None)
    assert (record.topic(), record.key(), record.value()) == ("ocr.features", b"key", value)
    assert tuple((header.key(), header.value()) for header in record.headers().toArray()) == HEADERS


def test_the_classes_are_compiled_once(java: JavaGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(jars: list[Path]) -> JavaGateway:
        raise AssertionError(jars)

    monkeypatch.setattr("app.preprocess.java_classes.start_java", fail)
    assert flink_classpath()[-1].name.startswith("hindsight-")
