package io.crescendo.cuda;

import org.jspecify.annotations.Nullable;

/** A region for devices that cannot map memory: one block, replaced by another of the size that is wanted. */
final class MovingRegion implements DeviceRegion {
    private final CudaDevice device;
    private final String what;
    private @Nullable DeviceBlock block;
    private long generation;

    MovingRegion(CudaDevice device, String what) {
        this.device = device;
        this.what = what;
    }

    @Override
    public long address() {
        return block == null ? 0 : block.address();
    }

    @Override
    public long generation() {
        return generation;
    }

    @Override
    public long capacityBytes() {
        return block == null ? 0 : block.bytes();
    }

    @Override
    public long heldBytes() {
        return capacityBytes();
    }

    @Override
    public boolean prepare(long bytes) {
        return false; // what is there is used, and both blocks at once may not fit
    }

    @Override
    public void reserve(long bytes) {
        if (bytes > capacityBytes()) {
            replace(bytes);
        }
    }

    @Override
    public void shrink(long bytes) {
        if (bytes < capacityBytes()) {
            replace(bytes);
        }
    }

    /** Frees before it allocates: both blocks at once may not fit. */
    private void replace(long bytes) {
        device.await(); // nothing may use what is freed
        close();
        if (bytes > 0) {
            block = DeviceBlock.allocate(what, bytes);
        }
    }

    @Override
    public void close() {
        DeviceBlock old = block;
        block = null;
        generation++;
        if (old != null) {
            old.close();
        }
    }
}
