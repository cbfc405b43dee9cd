package hindsight;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Version 2 of Python's marshal format, as far as records need it: tuples, text, bytes, integers and None. */
final class Marshal {
    private Marshal() {}

    static void writeTuple(ByteArrayOutputStream out, int size) {
        out.write('(');
        writeInt(out, size);
    }

    static void writeBytes(ByteArrayOutputStream out, byte[] value) {
        if (value == null) {
            out.write('N');
        } else {
            write(out, 's', value);
        }
    }

    static void writeText(ByteArrayOutputStream out, String value) {
        write(out, 'u', value.getBytes(StandardCharsets.UTF_8));
    }

    /** A long integer consists of digits of 15 bits, the least one first. */
    static void writeNumber(ByteArrayOutputStream out, long value) {
        if (value == (int) value) {
            out.write('i');
            writeInt(out, (int) value);
            return;
        }
        long magnitude = Math.abs(value);
        int digits = (Long.SIZE - Long.numberOfLeadingZeros(magnitude) + 14) / 15;
        out.write('l');
        writeInt(out, value < 0 ? -digits : digits);
        for (int digit = 0; digit < digits; digit++) {
            int bits = (int) (magnitude >>> 15 * digit) & 0x7fff;
            out.write(bits);
            out.write(bits >>> 8);
        }
    }

    static ByteBuffer reader(byte[] data) {
        return ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
    }

    static int readTuple(ByteBuffer in) {
        expect(in.get(), '(');
        return in.getInt();
    }

    static byte[] readBytes(ByteBuffer in) {
        byte type = in.get();
        if (type == 'N') {
            return null;
        }
        expect(type, 's');
        return readBlock(in);
    }

    static String readText(ByteBuffer in) {
        expect(in.get(), 'u');
        return new String(readBlock(in), StandardCharsets.UTF_8);
    }

    private static byte[] readBlock(ByteBuffer in) {
        byte[] block = new byte[in.getInt()];
        in.get(block);
        return block;
    }

    private static void expect(byte found, char expected) {
        if (found != expected) {
            throw new IllegalArgumentException("the marshalled type " + found + " is not " + expected);
        }
    }

    private static void write(ByteArrayOutputStream out, char type, byte[] block) {
        out.write(type);
        writeInt(out, block.length);
        out.write(block, 0, block.length);
    }

    private static void writeInt(ByteArrayOutputStream out, int value) {
        for (int shift = 0; shift < Integer.SIZE; shift += 8) {
            out.write(value >>> shift);
        }
    }
}
