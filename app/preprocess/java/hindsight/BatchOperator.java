package hindsight;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.function.ThrowingRunnable;

/**
 * Joins marshalled records into one marshalled tuple, so that one call of Python handles all of them.
 *
 * <p>A batch waits for nothing: it ends as soon as no more input is at hand. After each record Flink's task runs this
 * operator's mail between two steps of its input; the mail that finds no record more than the mail before ends the
 * batch.
 */
public final class BatchOperator extends AbstractStreamOperator implements OneInputStreamOperator, ThrowingRunnable {
    private static final long serialVersionUID = 1L;
    private static final int MAX_RECORDS = 32;
    private static final int MAX_BYTES = 256 * 1024;

    private transient MailboxExecutor mailbox;
    private transient ArrayList records;
    private transient int bytes;
    private transient int seen;
    private transient boolean scheduled;

    public void open() throws Exception {
        super.open();
        mailbox = getContainingTask().getMailboxExecutorFactory().createExecutor(getOperatorConfig().getChainIndex());
        records = new ArrayList();
    }

    public void processElement(StreamRecord element) throws Exception {
        byte[] record = (byte[]) element.getValue();
        if (bytes + record.length > MAX_BYTES) {
            flush();
        }
        records.add(record);
        bytes += record.length;
        if (records.size() >= MAX_RECORDS) {
            flush();
        } else if (!scheduled) {
            scheduled = true;
            mailbox.execute(this, "end a batch");
        }
    }

    public void run() throws Exception {
        if (records.size() > seen) {
            seen = records.size();
            mailbox.execute(this, "end a batch");
        } else {
            scheduled = false;
            flush();
        }
    }

    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        flush();
        super.prepareSnapshotPreBarrier(checkpointId);
    }

    public void finish() throws Exception {
        flush();
        super.finish();
    }

    private void flush() {
        if (records.isEmpty()) {
            return;
        }
        ByteBuffer batch = ByteBuffer.allocate(1 + Integer.BYTES + bytes).order(ByteOrder.LITTLE_ENDIAN);
        batch.put((byte) '(').putInt(records.size());
        for (int index = 0; index < records.size(); index++) {
            batch.put((byte[]) records.get(index));
        }
        records.clear();
        bytes = 0;
        seen = 0;
        output.collect(new StreamRecord(batch.array()));
    }
}
