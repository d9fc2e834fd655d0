package io.crescendo.cuda;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A count in pinned memory that the device writes while the host looks.
 *
 * @param bytes of a {@link PinnedBlock}
 * @param at where it lies, a multiple of 8
 */
record PinnedWord(ByteBuffer bytes, int at) {
    private static final VarHandle LONGS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());

    /** What the device wrote last, as far as it has arrived; what it wrote before that can be read then. */
    long get() {
        return (long) LONGS.getAcquire(bytes, at);
    }

    /** For the beginning, when the device does not write. */
    void set(long value) {
        LONGS.setRelease(bytes, at, value);
    }
}
