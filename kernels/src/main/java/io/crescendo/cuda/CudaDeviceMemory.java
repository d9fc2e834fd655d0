package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemsetD8Async;

import io.crescendo.backend.DeviceMemory;
import org.jspecify.annotations.Nullable;

/**
 * A flat array of float32 on the device, perhaps with a bf16 copy beside it.
 *
 * <p>The copy, the <em>shadow</em>, is what operations read as weights where the precision is bf16. It has the same
 * offsets; writing from the host brings it up to date, and the update kernel writes it in passing.
 */
final class CudaDeviceMemory implements DeviceMemory {
    private static final long ELEMENTS_OF_CAST = 8; // of a thread, in pointwise.cu

    private final CudaBackend backend;
    private final CudaDevice device;
    private final CudaScope scope;
    private final long elements;
    private final PackOrder order;
    private final DeviceBlock block;
    private volatile @Nullable Shadow shadow; // looked at by the thread that binds ahead

    private record Shadow(DeviceBlock block, Kernels.Call cast) {}

    /**
     * Allocates inside a scope that the memory ends with, and ends.
     *
     * @param what for the message, for example {@code the optimizer's state}
     */
    CudaDeviceMemory(CudaBackend backend, CudaScope scope, String what, long elements, PackOrder order) {
        this.backend = backend;
        this.device = backend.device();
        this.scope = scope;
        this.elements = elements;
        this.order = order;
        this.block = scope.own(DeviceBlock.allocate(what, Math.multiplyExact(elements, (long) Float.BYTES)));
        scope.onClose(device::await); // whatever still runs may use it
        fill();
    }

    private void fill() {
        if (elements > 0) {
            cuMemsetD8Async(block.pointer(), (byte) 0, block.bytes(), device.stream());
        }
    }

    void requireOpen() {
        if (block.closed()) {
            throw new IllegalStateException("this device memory was closed already");
        }
    }

    long address() {
        return block.address();
    }

    PackOrder order() {
        return order;
    }

    /** Where the bf16 copy starts; 0 if there is none. */
    long shadowAddress() {
        return shadow == null ? 0 : shadow.block.address();
    }

    /** Makes a bf16 copy that follows every write from now on, if there is none. */
    void addShadow() {
        if (shadow == null && elements > 0) {
            DeviceBlock copy = scope.own(DeviceBlock.allocate("bf16 weights", elements * Short.BYTES));
            scope.onClose(device::await);
            shadow = new Shadow(
                    copy,
                    device.kernels()
                            .call(
                                    "cast_f32_to_bf16",
                                    Grids.blocksInOrder(elements / ELEMENTS_OF_CAST),
                                    1,
                                    copy.address(),
                                    block.address(),
                                    elements));
            refreshShadow();
        }
    }

    private void refreshShadow() {
        if (shadow != null) {
            shadow.cast.enqueue(device.stream());
        }
    }

    @Override
    public long elements() {
        return elements;
    }

    @Override
    public void write(long offset, float[] values) {
        requireRange(offset, values.length);
        if (values.length == 0) {
            return;
        }
        enter();
        long start = order.start(offset, offset + values.length);
        long end = order.end(offset, offset + values.length);
        float[] whole = new float[Math.toIntExact(end - start)];
        CudaCalls.run(() -> "write to a flat array", () -> {
            if (whole.length > values.length) {
                // Part of a tensor whose order differs: the rest of it is there already.
                backend.transfer().read(address(start), whole);
                order.toLogical(whole, start);
            }
            System.arraycopy(values, 0, whole, (int) (offset - start), values.length);
            order.toDevice(whole, start);
            backend.transfer().write(whole, address(start));
            refreshShadow();
        });
    }

    @Override
    public void read(long offset, float[] values) {
        requireRange(offset, values.length);
        if (values.length == 0) {
            return;
        }
        enter();
        long start = order.start(offset, offset + values.length);
        long end = order.end(offset, offset + values.length);
        float[] whole =
                start == offset && end == offset + values.length ? values : new float[Math.toIntExact(end - start)];
        try {
            backend.transfer().read(address(start), whole);
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("read a flat array", e);
        }
        order.toLogical(whole, start);
        if (whole != values) {
            System.arraycopy(whole, (int) (offset - start), values, 0, values.length);
        }
    }

    private long address(long element) {
        return address() + Float.BYTES * element;
    }

    @Override
    public void clear() {
        enter();
        CudaCalls.run(() -> "clear a flat array", () -> {
            fill();
            refreshShadow();
        });
    }

    private void enter() {
        requireOpen();
        device.enter();
    }

    private void requireRange(long offset, long count) {
        if (offset < 0 || offset + count > elements) {
            throw new IllegalArgumentException("elements " + offset + " to " + (offset + count)
                    + " do not lie in a device memory of " + elements + " elements");
        }
    }

    @Override
    public void close() {
        device.enterToClose();
        scope.close();
    }
}
