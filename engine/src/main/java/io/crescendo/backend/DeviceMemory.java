package io.crescendo.backend;

/** A flat array of float32 on a device (of float64 on the reference backend), at a fixed address. */
public interface DeviceMemory extends AutoCloseable {
    /** Number of elements. */
    long elements();

    /** Copies all of {@code values} to the device, starting at element {@code offset}. */
    void write(long offset, float[] values);

    /** Fills all of {@code values} from the device, starting at element {@code offset}. Waits for running work. */
    void read(long offset, float[] values);

    /** Sets every element to zero. */
    void clear();

    @Override
    void close();
}
