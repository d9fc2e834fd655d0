package io.crescendo.reference;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.tensor.DType;
import java.util.Arrays;

/** A flat array of doubles; {@link #values()} shows it in full precision. */
public final class ReferenceMemory implements DeviceMemory {
    private final double[] values;

    ReferenceMemory(long elements) {
        if (elements < 0 || elements > ReferenceWorkspace.MOST_ELEMENTS) {
            throw new IllegalArgumentException("the reference backend holds at most " + ReferenceWorkspace.MOST_ELEMENTS
                    + " elements in one array, but " + elements + " were asked for; use a fast backend");
        }
        try {
            values = new double[(int) elements];
        } catch (OutOfMemoryError e) {
            long bytes = elements * Double.BYTES;
            throw DeviceMemoryException.ofPack(
                    "the Java heap, of at most " + Runtime.getRuntime().maxMemory()
                            + " bytes, has no room for a flat array of " + bytes + " bytes",
                    bytes,
                    e);
        }
    }

    /** The reference memory behind a handle, which must come from a reference backend. */
    public static ReferenceMemory of(DeviceMemory memory) {
        if (memory instanceof ReferenceMemory reference) {
            return reference;
        }
        throw new IllegalArgumentException(
                "the memory is a " + memory.getClass().getSimpleName()
                        + ", but the reference backend can only use memory that it allocated itself");
    }

    /** The array itself, not a copy: reading and writing it is reading and writing the device. */
    public double[] values() {
        return values;
    }

    @Override
    public long elements() {
        return values.length;
    }

    @Override
    public void write(long offset, float[] source) {
        int start = checked(offset, source.length);
        for (int i = 0; i < source.length; i++) {
            values[start + i] = source[i];
        }
    }

    @Override
    public void read(long offset, float[] destination) {
        int start = checked(offset, destination.length);
        for (int i = 0; i < destination.length; i++) {
            destination[i] = (float) values[start + i];
        }
    }

    @Override
    public DType dtype() {
        return DType.FLOAT64;
    }

    @Override
    public void write(long offset, double[] source) {
        System.arraycopy(source, 0, values, checked(offset, source.length), source.length);
    }

    @Override
    public void read(long offset, double[] destination) {
        System.arraycopy(values, checked(offset, destination.length), destination, 0, destination.length);
    }

    @Override
    public void clear() {
        Arrays.fill(values, 0);
    }

    @Override
    public void close() {}

    private int checked(long offset, int length) {
        if (offset < 0 || offset > values.length - (long) length) {
            throw new IllegalArgumentException("elements " + offset + " to " + (offset + length)
                    + " lie outside the memory of " + values.length + " elements");
        }
        return (int) offset;
    }
}
