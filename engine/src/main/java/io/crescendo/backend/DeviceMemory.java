package io.crescendo.backend;

import io.crescendo.tensor.DType;

/** A flat array of float32 on a device (of float64 on the reference backend), at a fixed address. */
public interface DeviceMemory extends AutoCloseable {
    /** Number of elements. */
    long elements();

    /** Copies all of {@code values} to the device, starting at element {@code offset}. */
    void write(long offset, float[] values);

    /** Fills all of {@code values} from the device, starting at element {@code offset}. Waits for running work. */
    void read(long offset, float[] values);

    /** How elements are kept: what a checkpoint must hold to give them back unchanged. */
    default DType dtype() {
        return DType.FLOAT32;
    }

    /** {@link #write(long, float[])} in the precision of {@link #dtype}. */
    default void write(long offset, double[] values) {
        float[] rounded = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            rounded[i] = (float) values[i];
        }
        write(offset, rounded);
    }

    /** {@link #read(long, float[])} in the precision of {@link #dtype}. */
    default void read(long offset, double[] values) {
        float[] rounded = new float[values.length];
        read(offset, rounded);
        for (int i = 0; i < values.length; i++) {
            values[i] = rounded[i];
        }
    }

    /** Sets every element to zero. */
    void clear();

    @Override
    void close();
}
