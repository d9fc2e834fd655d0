package io.crescendo.cuda;

import static jcuda.driver.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM;
import static jcuda.driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED;
import static jcuda.driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE;
import static jcuda.driver.JCudaDriver.cuMemAddressFree;
import static jcuda.driver.JCudaDriver.cuMemAddressReserve;
import static jcuda.driver.JCudaDriver.cuMemCreate;
import static jcuda.driver.JCudaDriver.cuMemGetAllocationGranularity;
import static jcuda.driver.JCudaDriver.cuMemMap;
import static jcuda.driver.JCudaDriver.cuMemRelease;
import static jcuda.driver.JCudaDriver.cuMemUnmap;

import java.util.ArrayDeque;
import java.util.Deque;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUmemAllocationProp;
import jcuda.driver.CUmemGenericAllocationHandle;
import jcuda.driver.CUmemLocation;

/**
 * A region with an address range of its own, as large as the device's memory, into which physical memory is mapped.
 *
 * <p>IMPLEMENTATION NOTES. Growing maps one more chunk behind the last and touches nothing that is there. A chunk can
 * only be unmapped whole; shrinking to the middle of one unmaps it and maps a smaller one in its place, which the
 * contract allows because the content need not survive.
 */
final class MappedRegion implements DeviceRegion {
    private final CudaDevice device;
    private final String what;
    private final CUmemAllocationProp kind = new CUmemAllocationProp();
    private final long granularity;
    private final long spanBytes;
    private final DevicePointer range = new DevicePointer();
    private final Deque<Chunk> chunks = new ArrayDeque<>();
    private long mappedBytes;
    private boolean closed;

    private record Chunk(CUmemGenericAllocationHandle handle, long offset, long bytes) {}

    MappedRegion(CudaDevice device, String what) {
        this.device = device;
        this.what = what;
        kind.type = CU_MEM_ALLOCATION_TYPE_PINNED;
        kind.location = new CUmemLocation(CU_MEM_LOCATION_TYPE_DEVICE, CudaDevice.NUMBER);
        long[] bytes = new long[1];
        CudaCalls.run(() -> "reserve addresses for " + what, () -> {
            cuMemGetAllocationGranularity(bytes, kind, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
        });
        this.granularity = bytes[0];
        this.spanBytes = roundedUp(device.properties().memoryBytes());
        CudaCalls.run(() -> "reserve " + spanBytes + " bytes of addresses for " + what, () -> {
            cuMemAddressReserve(range, spanBytes, 0, new CUdeviceptr(), 0);
        });
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
        return mappedBytes;
    }

    @Override
    public void reserve(long bytes) {
        long wanted = roundedUp(bytes);
        if (wanted > mappedBytes) {
            if (wanted > spanBytes) {
                throw new CudaException(
                        "cannot map " + wanted + " bytes for " + what + ": the device has "
                                + device.properties().memoryBytes() + " in all",
                        new jcuda.CudaException("CUDA_ERROR_OUT_OF_MEMORY"));
            }
            map(wanted - mappedBytes);
        }
    }

    private void map(long bytes) {
        CudaScope undo = new CudaScope();
        CUmemGenericAllocationHandle handle = new CUmemGenericAllocationHandle();
        DevicePointer start = DevicePointer.at(address() + mappedBytes);
        try {
            cuMemCreate(handle, bytes, kind, 0);
            undo.onClose(() -> cuMemRelease(handle));
            cuMemMap(start, bytes, 0, handle, 0);
            undo.onClose(() -> cuMemUnmap(start, bytes));
            device.driver().allowAccess(CudaDevice.NUMBER, start.address(), bytes);
        } catch (jcuda.CudaException e) {
            throw undo.closeAfter(device.health().note(CudaCalls.failure("map " + bytes + " bytes for " + what, e)));
        }
        chunks.push(new Chunk(handle, mappedBytes, bytes));
        mappedBytes += bytes;
    }

    @Override
    public void shrink(long bytes) {
        long kept = roundedUp(bytes);
        if (kept >= mappedBytes) {
            return;
        }
        device.await(); // nothing may use what is unmapped
        while (mappedBytes > kept) {
            unmapLast();
        }
        if (mappedBytes < kept) {
            map(kept - mappedBytes);
        }
    }

    private void unmapLast() {
        Chunk last = chunks.pop();
        mappedBytes -= last.bytes;
        CudaScope both = new CudaScope(); // the second also if the first fails
        both.onClose(() -> cuMemRelease(last.handle));
        both.onClose(() -> cuMemUnmap(DevicePointer.at(address() + last.offset), last.bytes));
        CudaCalls.run(() -> "unmap " + last.bytes + " bytes of " + what, both::close);
    }

    /** Gives everything back, addresses included. Nothing that uses the region may still be running. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        CudaScope all = new CudaScope(device.health());
        all.onClose(() -> cuMemAddressFree(range, spanBytes));
        for (int i = chunks.size(); i > 0; i--) {
            all.onClose(this::unmapLast);
        }
        all.close();
    }
}
