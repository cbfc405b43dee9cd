package hindsight;

import java.io.ByteArrayOutputStream;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.util.Collector;

/** Turns a record of Kafka into the tuple (topic, partition, offset, time in ms, key, value, headers), marshalled. */
public final class RequestReader implements KafkaRecordDeserializationSchema {
    private static final long serialVersionUID = 1L;
    private static final int OVERHEAD_BYTES = 1024;

    public void deserialize(ConsumerRecord record, Collector collector) {
        byte[] value = (byte[]) record.value();
        Header[] headers = record.headers().toArray();
        ByteArrayOutputStream out = new ByteArrayOutputStream(OVERHEAD_BYTES + (value == null ? 0 : value.length));
        Marshal.writeTuple(out, 7);
        Marshal.writeText(out, record.topic());
        Marshal.writeNumber(out, record.partition());
        Marshal.writeNumber(out, record.offset());
        Marshal.writeNumber(out, record.timestamp());
        Marshal.writeBytes(out, (byte[]) record.key());
        Marshal.writeBytes(out, value);
        Marshal.writeTuple(out, headers.length);
        for (int index = 0; index < headers.length; index++) {
            Marshal.writeTuple(out, 2);
            Marshal.writeText(out, headers[index].key());
            Marshal.writeBytes(out, headers[index].value());
        }
        collector.collect(out.toByteArray());
    }

    public TypeInformation getProducedType() {
        return PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
    }
}
