"""Flink's Kafka source and sinks, with our Java classes at their ends: records, with headers, as marshalled tuples.

`hindsight.RequestReader` gives (topic, partition, offset, time in ms, key, value, headers) of each request,
`hindsight.BatchOperator` joins them into tuples of such tuples, `hindsight.OutputWriter` takes (topic, key, value,
headers). Their format is version 2 of Python's marshal: see `java/hindsight/Marshal.java`.
"""

import marshal
import uuid
from collections.abc import Mapping
from typing import Any

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from app.events.cloudevents import Record

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
_MARSHAL_VERSION = 2


def encode_output(record: Record) -> bytes:
    """Return a record as the sink takes it."""
    return marshal.dumps((record.topic, record.key, record.value, tuple(record.headers)), _MARSHAL_VERSION)


def read_batches(environment: StreamExecutionEnvironment, topic: str, properties: Mapping[str, str]) -> DataStream:
    """Return a topic's records in batches, from the group's committed offsets on."""
    java = get_gateway().jvm
    kafka = java.org.apache.flink.connector.kafka.source
    reset = java.org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.OffsetResetStrategy.EARLIEST
    builder = kafka.KafkaSource.builder().setTopics([topic]).setDeserializer(java.hindsight.RequestReader())
    builder.setStartingOffsets(kafka.enumerator.initializer.OffsetsInitializer.committedOffsets(reset))
    for name, value in properties.items():
        builder.setProperty(name, value)
    requests = environment._j_stream_execution_environment.fromSource(
        builder.build(), WatermarkStrategy.no_watermarks()._j_watermark_strategy, topic, BYTES.get_java_type_info()
    )
    requests.uid(_new_uid())
    return DataStream(requests.transform("batch", BYTES.get_java_type_info(), java.hindsight.BatchOperator()))


def write_records(outputs: DataStream, properties: Mapping[str, str]) -> None:
    """Write a stream of records, from `encode_output`, to their topics."""
    java = get_gateway().jvm
    producer: Any = java.java.util.Properties()
    for name, value in properties.items():
        producer.setProperty(name, value)
    sink = java.org.apache.flink.connector.kafka.sink.KafkaSink.builder().setKafkaProducerConfig(producer)
    sink.setBootstrapServers(properties["bootstrap.servers"]).setRecordSerializer(java.hindsight.OutputWriter())
    sink.setDeliveryGuarantee(java.org.apache.flink.connector.base.DeliveryGuarantee.AT_LEAST_ONCE)
    outputs._j_data_stream.sinkTo(sink.build()).uid(_new_uid())


def _new_uid() -> str:
    """Return a uid that no checkpoint knows: offsets are the group's, and a sink has no state that is needed."""
    return str(uuid.uuid4())
