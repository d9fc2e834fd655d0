package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Workspace;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * The arena: on Linux memory that grows in place, elsewhere a block that is replaced by a larger one.
 *
 * <p>IMPLEMENTATION NOTES. The training thread calls everything but {@link #prepare}, which has a thread of its own;
 * the monitor guards what both change. The capacity changes on the training thread only, which may look at it freely.
 */
final class CpuWorkspace implements Workspace, AutoCloseable {
    /** Pages are found in pieces of this size, so that a training thread which wants to grow waits for one at most. */
    private static final long PIECE_BYTES = VirtualMemory.HUGE_PAGE_BYTES;

    private final long mostBytes;
    private boolean opened;
    private @Nullable ReservedMemory growing;
    private @Nullable NativeMemory block;
    private volatile long capacityBytes;
    private long populatedBytes;
    private long peakBytes;
    private long generation;

    /** @param mostBytes that it will ever hold where it grows in place: the machine's memory */
    CpuWorkspace(long mostBytes) {
        this.mostBytes = mostBytes;
    }

    /** Where the arena starts now. */
    long address() {
        if (growing != null) {
            return growing.address();
        }
        return block == null ? 0 : block.address();
    }

    /** Changes with the capacity, and the address perhaps; what was bound at another generation must look again. */
    long generation() {
        return generation;
    }

    @Override
    public long capacityBytes() {
        return capacityBytes;
    }

    @Override
    public long peakBytes() {
        return peakBytes;
    }

    @Override
    public void reserve(long bytes) {
        if (bytes > capacityBytes) {
            resize(bytes);
        }
    }

    @Override
    public synchronized void shrink(long bytes) {
        if (bytes < capacityBytes) {
            resize(bytes);
        } else if (growing != null) {
            growing.shrink(bytes); // what was prepared
            populatedBytes = Math.min(populatedBytes, bytes);
        }
    }

    private synchronized void resize(long bytes) {
        open();
        if (growing == null) {
            replace(bytes);
        } else if (bytes > capacityBytes) {
            if (!growing.grow(bytes)) {
                throw refused(bytes, null);
            }
        } else {
            growing.shrink(bytes);
            populatedBytes = Math.min(populatedBytes, bytes);
        }
        capacityBytes = bytes;
        peakBytes = Math.max(peakBytes, bytes);
        generation++;
    }

    private void open() {
        if (!opened) {
            opened = true;
            growing = ReservedMemory.of(mostBytes);
        }
    }

    /** Frees before it allocates: nothing in the arena survives a step, and both blocks at once may not fit. */
    private void replace(long bytes) {
        if (block != null) {
            block.close();
            block = null;
            capacityBytes = 0;
            generation++;
        }
        if (bytes > 0) {
            try {
                block = new NativeMemory(bytes);
            } catch (OutOfMemoryError e) {
                throw refused(bytes, e);
            }
        }
    }

    private static DeviceMemoryException refused(long bytes, @Nullable Throwable cause) {
        return new DeviceMemoryException(
                "the system has no room for a workspace of " + bytes + " bytes",
                "",
                bytes,
                OptionalLong.empty(),
                cause);
    }

    @Override
    public synchronized boolean prepare(long bytes) {
        open();
        long from = Math.max(capacityBytes, populatedBytes);
        if (growing == null || from >= bytes) {
            return false;
        }
        long to = Math.min(bytes, from + PIECE_BYTES);
        if (!growing.grow(to) || !growing.populate(from, to)) {
            return false;
        }
        populatedBytes = to;
        return to < bytes;
    }

    @Override
    public synchronized void close() {
        if (growing != null) {
            growing.close();
            growing = null;
        }
        if (block != null) {
            block.close();
            block = null;
        }
        capacityBytes = 0;
        generation++;
    }
}
