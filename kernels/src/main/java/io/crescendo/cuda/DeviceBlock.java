package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemAlloc;
import static jcuda.driver.JCudaDriver.cuMemFree;

/** A block of device memory at a fixed address, a multiple of 256. */
final class DeviceBlock implements AutoCloseable {
    private final DevicePointer pointer;
    private final long bytes;
    private boolean closed;

    private DeviceBlock(DevicePointer pointer, long bytes) {
        this.pointer = pointer;
        this.bytes = bytes;
    }

    /**
     * Allocates; the content is undefined.
     *
     * @param what for the message, for example {@code the weights}
     * @throws CudaException if the device has not that much memory left
     */
    static DeviceBlock allocate(String what, long bytes) {
        DevicePointer pointer = new DevicePointer();
        if (bytes > 0) {
            CudaCalls.run(() -> "allocate " + bytes + " bytes for " + what, () -> cuMemAlloc(pointer, bytes));
        }
        return new DeviceBlock(pointer, bytes);
    }

    /** Where it starts; 0 if it has no bytes. */
    long address() {
        return pointer.address();
    }

    DevicePointer pointer() {
        return pointer;
    }

    long bytes() {
        return bytes;
    }

    boolean closed() {
        return closed;
    }

    /** Frees. Nothing that uses the block may still be running. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            if (bytes > 0) {
                CudaCalls.run(() -> "free " + bytes + " bytes", () -> cuMemFree(pointer));
            }
        }
    }
}
