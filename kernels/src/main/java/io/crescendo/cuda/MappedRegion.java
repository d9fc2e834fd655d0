package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemAddressFree;
import static jcuda.driver.JCudaDriver.cuMemAddressReserve;
import static jcuda.driver.JCudaDriver.cuMemUnmap;

import java.util.ArrayDeque;
import java.util.Deque;
import jcuda.driver.CUdeviceptr;

/**
 * A region with an address range of its own, as large as the device's memory, into which physical memory is mapped.
 *
 * <p>IMPLEMENTATION NOTES. Growing maps one more chunk behind the last and touches nothing that is there, so that it
 * may be done ahead, by another thread; the monitor guards what both change. A chunk can only be unmapped whole;
 * shrinking to the middle of one unmaps it and maps a smaller one in its place, which the contract allows because the
 * content need not survive.
 */
final class MappedRegion implements DeviceRegion {
    /** Memory is prepared in pieces of this size: whoever wants the driver or the region meanwhile waits for one. */
    private static final long PIECE_BYTES = 32L << 20;

    /**
     * Preparing leaves this much free: the training thread needs memory meanwhile for graphs and for kernels that the
     * driver loads when they are first used, and a step that is refused it fails.
     */
    static final long RESERVE_BYTES = 512L << 20;

    private final CudaDevice device;
    private final String what;
    private final long granularity;
    private final long spanBytes;
    private final DevicePointer range = new DevicePointer();
    private final Deque<Chunk> chunks = new ArrayDeque<>();
    private long mappedBytes;
    private volatile long capacityBytes;
    private boolean closed;

    private record Chunk(long handle, long offset, long bytes) {}

    MappedRegion(CudaDevice device, String what) {
        this.device = device;
        this.what = what;
        try {
            this.granularity = device.driver().granularity(CudaDevice.NUMBER);
        } catch (jcuda.CudaException e) {
            throw device.health().note(CudaCalls.failure("reserve addresses for " + what, e));
        }
        this.spanBytes = roundedUp(device.properties().memoryBytes());
        CudaCalls.run(() -> "reserve " + spanBytes + " bytes of addresses for " + what, () -> {
            cuMemAddressReserve(range, spanBytes, 0, new CUdeviceptr(), 0);
        });
    }

    /**
     * Whether mapping works here: some containers and virtual machines have drivers that offer it and then refuse it.
     * Tries all of it on one page.
     */
    static boolean works(CudaDevice device) {
        try (MappedRegion trial = new MappedRegion(device, "a trial")) {
            trial.map(trial.granularity);
            return true;
        } catch (CudaException | jcuda.CudaException e) {
            return false;
        }
    }

    private long roundedUp(long bytes) {
        return Math.addExact(bytes, granularity - 1) / granularity * granularity;
    }

    @Override
    public long address() {
        return range.address();
    }

    @Override
    public long generation() {
        return 0;
    }

    @Override
    public long capacityBytes() {
        return capacityBytes;
    }

    @Override
    public synchronized long heldBytes() {
        return mappedBytes;
    }

    @Override
    public void reserve(long bytes) {
        if (bytes > capacityBytes) { // does not wait for what another thread prepares unless it needs it
            grow(roundedUp(bytes));
        }
    }

    private synchronized void grow(long wanted) {
        if (wanted > spanBytes) {
            throw new CudaException(
                    "cannot map " + wanted + " bytes for " + what + ": the device has "
                            + device.properties().memoryBytes() + " in all",
                    new jcuda.CudaException("CUDA_ERROR_OUT_OF_MEMORY"));
        }
        if (wanted > mappedBytes) {
            map(wanted - mappedBytes);
        }
        capacityBytes = wanted;
    }

    @Override
    public synchronized boolean prepare(long bytes) {
        long wanted = roundedUp(bytes);
        if (closed || wanted <= mappedBytes || wanted > spanBytes) {
            return false;
        }
        long piece = Math.min(wanted - mappedBytes, PIECE_BYTES);
        try {
            requireReserve(piece);
            map(piece);
        } catch (CudaException e) {
            CudaScope undo = new CudaScope(device.health());
            undo.onClose(this::unmapPrepared); // others may need the rest
            throw undo.closeAfter(e);
        }
        return wanted > mappedBytes;
    }

    private void requireReserve(long bytes) {
        long free = device.freeBytes();
        if (free - bytes < RESERVE_BYTES) {
            throw new CudaException(
                    "cannot map " + bytes + " bytes for " + what + " ahead: of " + free + " that are free "
                            + RESERVE_BYTES + " are kept for what runs meanwhile",
                    new jcuda.CudaException("CUDA_ERROR_OUT_OF_MEMORY"));
        }
    }

    /** Nothing uses what lies behind the capacity. */
    private void unmapPrepared() {
        while (!chunks.isEmpty() && chunks.peek().offset >= capacityBytes) {
            unmapLast();
        }
    }

    private void map(long bytes) {
        CudaScope undo = new CudaScope();
        DevicePointer start = DevicePointer.at(address() + mappedBytes);
        try {
            long handle = device.driver().createMemory(CudaDevice.NUMBER, bytes);
            undo.onClose(() -> device.driver().releaseMemory(handle));
            device.driver().map(start.address(), bytes, handle);
            undo.onClose(() -> cuMemUnmap(start, bytes));
            device.driver().allowAccess(CudaDevice.NUMBER, start.address(), bytes);
            chunks.push(new Chunk(handle, mappedBytes, bytes));
            mappedBytes += bytes;
        } catch (jcuda.CudaException e) {
            throw undo.closeAfter(CudaCalls.failure("map " + bytes + " bytes for " + what, e));
        }
    }

    @Override
    public synchronized void shrink(long bytes) {
        long kept = roundedUp(bytes);
        if (kept >= mappedBytes) {
            return;
        }
        device.await(); // nothing may use what is unmapped
        long remaining = Math.min(capacityBytes, kept);
        while (mappedBytes > kept) {
            unmapLast();
        }
        if (mappedBytes < kept) {
            map(kept - mappedBytes);
        }
        capacityBytes = remaining;
    }

    private void unmapLast() {
        Chunk last = chunks.pop();
        mappedBytes -= last.bytes;
        capacityBytes = Math.min(capacityBytes, mappedBytes);
        CudaScope both = new CudaScope(); // the second also if the first fails
        both.onClose(() -> device.driver().releaseMemory(last.handle));
        both.onClose(() -> cuMemUnmap(DevicePointer.at(address() + last.offset), last.bytes));
        CudaCalls.run(() -> "unmap " + last.bytes + " bytes of " + what, both::close);
    }

    /** Gives everything back, addresses included. Nothing that uses the region may still be running. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        capacityBytes = 0;
        CudaScope all = new CudaScope(device.health());
        all.onClose(() -> cuMemAddressFree(range, spanBytes));
        for (int i = chunks.size(); i > 0; i--) {
            all.onClose(this::unmapLast);
        }
        all.close();
    }
}
