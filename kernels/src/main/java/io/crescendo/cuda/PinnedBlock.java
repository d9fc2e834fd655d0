package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.CU_MEMHOSTALLOC_DEVICEMAP;
import static jcuda.driver.JCudaDriver.cuMemFreeHost;
import static jcuda.driver.JCudaDriver.cuMemHostAlloc;
import static jcuda.driver.JCudaDriver.cuMemHostGetDevicePointer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;

/** Memory of the host that the device can reach: copies from and to it run beside everything else. */
final class PinnedBlock implements AutoCloseable {
    private final Pointer pointer = new Pointer();
    private final int size;
    private boolean closed;

    PinnedBlock(String what, int size) {
        this.size = size;
        CudaCalls.run(() -> "pin " + size + " bytes of the host's memory for " + what, () -> {
            cuMemHostAlloc(pointer, size, CU_MEMHOSTALLOC_DEVICEMAP);
        });
    }

    int size() {
        return size;
    }

    Pointer pointer() {
        return pointer;
    }

    /** Where kernels find it. */
    long deviceAddress() {
        DevicePointer mapped = new DevicePointer();
        CudaCalls.run(() -> "map pinned memory", () -> cuMemHostGetDevicePointer(mapped, pointer, 0));
        return mapped.address();
    }

    /** All of it in native byte order. */
    ByteBuffer bytes() {
        return pointer.getByteBuffer(0, size).order(ByteOrder.nativeOrder());
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            CudaCalls.run(() -> "free pinned memory", () -> cuMemFreeHost(pointer));
        }
    }
}
