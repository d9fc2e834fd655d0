package io.crescendo.cuda;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.NullMarked;

/**
 * Memory as a kernel sees it, between two guard zones.
 *
 * <p>Everything starts as bytes of 0xFF, which read as NaN: an element that a kernel forgets to write, or reads from
 * outside, shows in the result, and a write outside changes a guard zone.
 */
@NullMarked
final class DeviceBuffer {
    private static final int GUARD_BYTES = 1024;
    private static final int ALIGNMENT_BYTES = 256; // what a device's allocator gives
    private static final byte POISON = (byte) 0xFF;

    private final Memory memory;
    private final long offset;
    private final ElementType type;
    private final int count;
    /** Whose addresses it holds. */
    private List<DeviceBuffer> pointees = List.of();

    /** {@code count} poisoned elements, {@code misaligned} elements behind an aligned address. */
    DeviceBuffer(ElementType type, int count, int misaligned) {
        this.type = type;
        this.count = count;
        long bytes = (long) (count + misaligned) * type.bytes + 2L * GUARD_BYTES + ALIGNMENT_BYTES;
        memory = new Memory(bytes);
        memory.setMemory(0, bytes, POISON);
        long address = Pointer.nativeValue(memory) + GUARD_BYTES;
        long aligned = (address + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
        offset = aligned - Pointer.nativeValue(memory) + (long) misaligned * type.bytes;
    }

    /** An array of pointers; a launch writes them. */
    static DeviceBuffer pointersTo(DeviceBuffer... pointees) {
        DeviceBuffer pointers = new DeviceBuffer(ElementType.I64, pointees.length, 0);
        pointers.pointees = List.of(pointees);
        return pointers;
    }

    void writeAddresses(ToLongFunction<DeviceBuffer> address) {
        if (!pointees.isEmpty()) {
            writeLongs(pointees.stream().mapToLong(address).toArray());
        }
    }

    /** Of the first element. */
    long address() {
        return start() + offset;
    }

    /** Of the guard zone before it. */
    long start() {
        return Pointer.nativeValue(memory);
    }

    /** All of it, guard zones included. */
    ByteBuffer bytes() {
        return memory.getByteBuffer(0, memory.size());
    }

    int count() {
        return count;
    }

    /** Rounds to the element type. */
    DeviceBuffer write(double... values) {
        if (values.length != count) {
            throw new IllegalArgumentException(values.length + " values for " + count + " elements");
        }
        for (int i = 0; i < count; i++) {
            long at = offset + (long) i * type.bytes;
            switch (type) {
                case F32 -> memory.setFloat(at, (float) values[i]);
                case BF16 -> memory.setShort(at, bf16((float) values[i]));
                case F64 -> memory.setDouble(at, values[i]);
                case I32 -> memory.setInt(at, (int) values[i]);
                case I64 -> memory.setLong(at, (long) values[i]);
                case U8 -> memory.setByte(at, (byte) (int) values[i]);
            }
        }
        return this;
    }

    /** 64-bit integers, exactly. */
    DeviceBuffer writeLongs(long... values) {
        for (int i = 0; i < count; i++) {
            memory.setLong(offset + (long) i * type.bytes, values[i]);
        }
        return this;
    }

    /** 64-bit integers, exactly. */
    long[] longs() {
        return memory.getLongArray(offset, count);
    }

    DeviceBuffer zero() {
        memory.setMemory(offset, (long) count * type.bytes, (byte) 0);
        return this;
    }

    double[] read() {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            long at = offset + (long) i * type.bytes;
            values[i] = switch (type) {
                case F32 -> memory.getFloat(at);
                case BF16 -> Float.intBitsToFloat(memory.getShort(at) << 16);
                case F64 -> memory.getDouble(at);
                case I32 -> memory.getInt(at);
                case I64 -> memory.getLong(at);
                case U8 -> memory.getByte(at) & 0xFF;
            };
        }
        return values;
    }

    /** Whether nobody wrote outside. */
    boolean guardsHold() {
        long end = offset + (long) count * type.bytes;
        byte[] before = memory.getByteArray(0, (int) offset);
        byte[] after = memory.getByteArray(end, (int) (memory.size() - end));
        return intact(before) && intact(after);
    }

    private static boolean intact(byte[] guard) {
        for (byte b : guard) {
            if (b != POISON) {
                return false;
            }
        }
        return true;
    }

    /** The nearest bf16, ties to even. */
    static short bf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        return Float.isNaN(value) ? 0x7FFF : (short) ((bits + 0x7FFF + (bits >>> 16 & 1)) >>> 16);
    }

    @Override
    public String toString() {
        return type + " (" + count + ")";
    }
}
