package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemory;
import java.nio.FloatBuffer;

/** A flat array of float32 in native memory. */
final class CpuDeviceMemory implements DeviceMemory {
    private final NativeMemory memory;
    private final long elements;
    private final NativeScope scope;

    /** Allocates inside a scope that the memory ends with, and ends. */
    CpuDeviceMemory(NativeScope scope, long elements) {
        this.scope = scope;
        if (elements < 0) {
            throw new IllegalArgumentException("the number of elements must not be negative, but is " + elements);
        }
        this.elements = elements;
        this.memory = new NativeMemory(Math.multiplyExact(elements, (long) Float.BYTES));
        scope.onClose(memory::close);
    }

    long address() {
        return memory.address();
    }

    void requireOpen() {
        memory.requireOpen();
    }

    /** A Java view of a slice. */
    FloatBuffer floats(long offset, long count) {
        requireRange(offset, count);
        return memory.floats(offset, count);
    }

    @Override
    public long elements() {
        return elements;
    }

    @Override
    public void write(long offset, float[] values) {
        requireRange(offset, values.length);
        if (values.length > 0) {
            memory.floats(offset, values.length).put(values);
        }
    }

    @Override
    public void read(long offset, float[] values) {
        requireRange(offset, values.length);
        if (values.length > 0) {
            memory.floats(offset, values.length).get(values);
        }
    }

    private void requireRange(long offset, long count) {
        if (offset < 0 || offset + count > elements) {
            throw new IllegalArgumentException("elements " + offset + " to " + (offset + count)
                    + " do not lie in a device memory of " + elements + " elements");
        }
    }

    @Override
    public void clear() {
        memory.clear();
    }

    @Override
    public void close() {
        scope.close();
    }
}
