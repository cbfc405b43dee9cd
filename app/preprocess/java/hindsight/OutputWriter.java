package hindsight;

import java.nio.ByteBuffer;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;

/** Turns the marshalled tuple (topic, key, value, headers) into a record for Kafka. */
public final class OutputWriter implements KafkaRecordSerializationSchema {
    private static final long serialVersionUID = 1L;

    public ProducerRecord serialize(
            Object element, KafkaRecordSerializationSchema.KafkaSinkContext context, Long timestamp) {
        ByteBuffer in = Marshal.reader((byte[]) element);
        Marshal.readTuple(in);
        ProducerRecord record =
                new ProducerRecord(Marshal.readText(in), Marshal.readBytes(in), Marshal.readBytes(in));
        int headers = Marshal.readTuple(in);
        for (int index = 0; index < headers; index++) {
            Marshal.readTuple(in);
            record.headers().add(Marshal.readText(in), Marshal.readBytes(in));
        }
        return record;
    }
}
