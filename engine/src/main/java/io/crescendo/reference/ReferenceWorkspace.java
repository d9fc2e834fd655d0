package io.crescendo.reference;

import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Workspace;
import java.util.OptionalLong;

/** The arena as one array of doubles. */
final class ReferenceWorkspace implements Workspace {
    /** Java arrays end a little below 2³¹ elements. */
    static final long MOST_ELEMENTS = Integer.MAX_VALUE - 8L;

    private double[] arena = {};
    private long peakBytes;

    /** The array now; growth and shrinking replace it. */
    double[] arena() {
        return arena;
    }

    @Override
    public long capacityBytes() {
        return (long) arena.length * Double.BYTES;
    }

    @Override
    public long peakBytes() {
        return peakBytes;
    }

    @Override
    public void reserve(long bytes) {
        if (bytes > capacityBytes()) {
            resize((bytes + Double.BYTES - 1) / Double.BYTES);
        }
    }

    @Override
    public void shrink(long bytes) {
        if (bytes < 0) {
            throw new IllegalArgumentException("cannot shrink the workspace to " + bytes + " bytes");
        }
        if (bytes < capacityBytes()) {
            resize(bytes / Double.BYTES);
        }
    }

    private void resize(long elements) {
        if (elements > MOST_ELEMENTS) {
            throw new IllegalArgumentException("the reference backend's workspace holds at most "
                    + MOST_ELEMENTS * Double.BYTES + " bytes, but " + elements * Double.BYTES
                    + " are needed; use smaller micro-batches");
        }
        arena = new double[0]; // both at once may not fit
        try {
            arena = new double[(int) elements];
        } catch (OutOfMemoryError e) {
            throw new DeviceMemoryException(
                    "the Java heap has no room for a workspace of " + elements * Double.BYTES + " bytes",
                    "; lower the memory budget or give Java more with -Xmx",
                    elements * Double.BYTES,
                    OptionalLong.empty(),
                    e);
        }
        peakBytes = Math.max(peakBytes, capacityBytes());
    }
}
