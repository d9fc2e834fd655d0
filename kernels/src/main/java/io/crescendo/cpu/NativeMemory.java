package io.crescendo.cpu;

import java.nio.FloatBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/**
 * A zeroed block outside the Java heap, aligned to a cache line.
 *
 * <p>Zeroed for a reason besides definedness: fresh pages may hold bit patterns of denormal numbers, which slow
 * arithmetic down on padding that nobody looks at.
 */
final class NativeMemory implements AutoCloseable {
    /** A cache line and the widest vector register. */
    private static final long ALIGNMENT_BYTES = 64;

    private final Pointer block;
    private final long address;
    private final long bytes;
    private boolean open = true;

    NativeMemory(long bytes) {
        this.bytes = bytes;
        // Few large pages for many small ones, where the block is large enough.
        boolean large = bytes >= 2 * VirtualMemory.HUGE_PAGE_BYTES;
        long alignment = large ? VirtualMemory.HUGE_PAGE_BYTES : ALIGNMENT_BYTES;
        // A large block comes as pages that the system zeroes when they are first written. Clearing it here would write
        // every page twice, and would hold a new batch up: where a virtual machine's host has yet to find the memory,
        // the first touch takes 2 ms per megabyte. So the threads of the first step share it.
        block = Pointer.calloc(1, Math.addExact(bytes, alignment));
        if (block == null || block.isNull()) {
            throw new OutOfMemoryError("cannot allocate " + bytes + " bytes of native memory");
        }
        address = (block.address() + alignment - 1) / alignment * alignment;
        if (large) {
            VirtualMemory.adviseHugePages(address, bytes);
        }
    }

    long address() {
        requireOpen();
        return address;
    }

    /** A Java view of floats inside the block; valid until {@link #close}. */
    FloatBuffer floats(long firstElement, long elements) {
        requireOpen();
        return floatsAt(address + firstElement * Float.BYTES, elements);
    }

    /** A Java view of floats at any address. */
    static FloatBuffer floatsAt(long address, long elements) {
        BytePointer pointer = new BytePointer(new Address().at(address));
        return pointer.capacity(elements * Float.BYTES).asByteBuffer().asFloatBuffer();
    }

    /** Touching freed memory would end the process without a word. */
    void requireOpen() {
        if (!open) {
            throw new IllegalStateException("this memory of " + bytes + " bytes was closed already");
        }
    }

    void clear() {
        requireOpen();
        Pointer.memset(new Address().at(address), 0, bytes);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            Pointer.free(block);
        }
    }
}
