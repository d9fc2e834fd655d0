package io.crescendo.cuda;

import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Workspace;
import java.util.OptionalLong;

/**
 * The arena on the device.
 *
 * <p>{@link #capacityBytes} is to the byte: where memory is mapped, whole pages of 2 MiB.
 */
final class CudaWorkspace implements Workspace, AutoCloseable {
    /** Of what there is, to plan with: images, kept values and the driver's own pages need some too. */
    private static final double SUGGESTED_SHARE = 0.9;

    private final CudaDevice device;
    private final DeviceRegion region;
    private long peakBytes;

    CudaWorkspace(CudaDevice device) {
        this.device = device;
        this.region = DeviceRegion.on(device, "the workspace");
    }

    long address() {
        return region.address();
    }

    /** Changes whenever the address may have; what was bound at another generation must be bound again. */
    long generation() {
        return region.generation();
    }

    @Override
    public long capacityBytes() {
        return region.capacityBytes();
    }

    @Override
    public long peakBytes() {
        return peakBytes;
    }

    @Override
    public void reserve(long bytes) {
        device.enter();
        try {
            grow(bytes);
        } catch (CudaException e) {
            throw e.outOfMemory() ? refused("the workspace was to hold " + Amounts.bytes(bytes), bytes, e) : e;
        }
    }

    @Override
    public boolean prepare(long bytes) {
        device.enter();
        try {
            return region.prepare(bytes);
        } catch (CudaException e) {
            if (e.outOfMemory()) {
                return false; // as whoever reserves it will hear
            }
            throw device.health().note(e);
        }
    }

    /** Whether so many bytes are there and will stay where they are, so that they may be recorded. */
    boolean isReady(long bytes) {
        return device.mapsMemory() && region.heldBytes() >= bytes;
    }

    /** Makes room; a refusal comes as the device's own error. */
    void grow(long bytes) {
        CudaCalls.run(() -> "grow the workspace to " + bytes + " bytes", () -> region.reserve(bytes));
        peakBytes = Math.max(peakBytes, region.capacityBytes());
    }

    /** An error that says what there is and what would fit. */
    DeviceMemoryException refused(String what, long bytes, CudaException cause) {
        long held = region.heldBytes();
        long suggested = (long) ((held + device.freeBytes()) * SUGGESTED_SHARE);
        String budget = Amounts.budget(suggested);
        return new DeviceMemoryException(
                "out of memory on " + device.properties().name() + ": " + what + ", and the workspace has "
                        + Amounts.bytes(held) + " now. The device said: " + cause.getMessage(),
                ". Smaller micro-batches need less and give the same result: set the memory budget to " + budget
                        + " (--memory-budget " + budget + ")",
                bytes,
                OptionalLong.of(suggested),
                cause);
    }

    @Override
    public void shrink(long bytes) {
        device.enter();
        CudaCalls.run(() -> "shrink the workspace to " + bytes + " bytes", () -> region.shrink(bytes));
    }

    @Override
    public void close() {
        region.close();
    }
}
