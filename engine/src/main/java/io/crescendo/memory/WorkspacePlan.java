package io.crescendo.memory;

import io.crescendo.autograd.Value;

/**
 * Where every arena value, every operation's scratch memory and what it holds until the end lie.
 *
 * <p>Offsets are bytes from the start of the arena, multiples of {@link WorkspacePlanner#ALIGNMENT_BYTES}.
 */
public final class WorkspacePlan {
    private final long[] valueOffsets;
    private final long[] scratchOffsets;
    private final long[] heldOffsets;
    private final long totalBytes;
    private final long lowerBoundBytes;

    WorkspacePlan(
            long[] valueOffsets, long[] scratchOffsets, long[] heldOffsets, long totalBytes, long lowerBoundBytes) {
        this.valueOffsets = valueOffsets;
        this.scratchOffsets = scratchOffsets;
        this.heldOffsets = heldOffsets;
        this.totalBytes = totalBytes;
        this.lowerBoundBytes = lowerBoundBytes;
    }

    /** Offset of an arena value in bytes. */
    public long offset(Value value) {
        long offset = valueOffsets[value.id()];
        if (offset < 0) {
            throw new IllegalArgumentException(value + " has no place in the arena: no operation defines it");
        }
        return offset;
    }

    /** Offset of an operation's scratch memory in bytes; meaningless if it asked for none. */
    public long scratchOffset(int opIndex) {
        return scratchOffsets[opIndex];
    }

    /** Offset of what an operation holds until the end, in bytes; meaningless if it holds nothing. */
    public long heldOffset(int opIndex) {
        return heldOffsets[opIndex];
    }

    /** Bytes the arena must hold. */
    public long totalBytes() {
        return totalBytes;
    }

    /** The largest sum of bytes alive at one operation: no plan without recomputation can be smaller. */
    public long lowerBoundBytes() {
        return lowerBoundBytes;
    }
}
