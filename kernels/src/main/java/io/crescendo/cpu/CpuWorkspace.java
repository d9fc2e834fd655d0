package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Workspace;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** The arena: one block of native memory, replaced by a larger one when asked to grow. */
final class CpuWorkspace implements Workspace, AutoCloseable {
    private @Nullable NativeMemory memory;
    private long peakBytes;
    private long generation;

    /** Where the arena starts now. */
    long address() {
        return memory == null ? 0 : memory.address();
    }

    /** Changes whenever the address may have; what was bound at another generation must look again. */
    long generation() {
        return generation;
    }

    @Override
    public long capacityBytes() {
        return memory == null ? 0 : memory.bytes();
    }

    @Override
    public long peakBytes() {
        return peakBytes;
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

    /** Frees before it allocates: nothing in the arena survives a step, and both blocks at once may not fit. */
    private void replace(long bytes) {
        close();
        if (bytes > 0) {
            try {
                memory = new NativeMemory(bytes);
            } catch (OutOfMemoryError e) {
                throw new DeviceMemoryException(
                        "the system has no room for a workspace of " + bytes + " bytes",
                        bytes,
                        OptionalLong.empty(),
                        e);
            }
        }
        peakBytes = Math.max(peakBytes, bytes);
    }

    @Override
    public void close() {
        if (memory != null) {
            memory.close();
            memory = null;
        }
        generation++;
    }
}
