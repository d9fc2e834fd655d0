package io.crescendo.memory;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.stream.IntStream;

/**
 * Where every arena value, every operation's scratch memory and what it holds until the end lie.
 *
 * <p>Offsets are bytes from the start of the arena, multiples of {@link WorkspacePlanner#ALIGNMENT_BYTES}.
 */
public final class WorkspacePlan {
    private final Program program;
    private final long[] valueBytes;
    private final long[] scratchBytes;
    private final long[] heldBytes;
    private final long[] valueOffsets;
    private final long[] scratchOffsets;
    private final long[] heldOffsets;
    private final long totalBytes;
    private final long lowerBoundBytes;

    WorkspacePlan(
            Program program,
            MemoryRequirements requirements,
            long[] valueOffsets,
            long[] scratchOffsets,
            long[] heldOffsets,
            long totalBytes,
            long lowerBoundBytes) {
        this.program = program;
        this.valueBytes = program.values().stream()
                .mapToLong(value -> value.home() == Home.ARENA ? requirements.bytes(value) : 0)
                .toArray();
        int ops = program.ops().size();
        this.scratchBytes =
                IntStream.range(0, ops).mapToLong(requirements::scratchBytes).toArray();
        this.heldBytes =
                IntStream.range(0, ops).mapToLong(requirements::heldBytes).toArray();
        this.valueOffsets = valueOffsets;
        this.scratchOffsets = scratchOffsets;
        this.heldOffsets = heldOffsets;
        this.totalBytes = totalBytes;
        this.lowerBoundBytes = lowerBoundBytes;
    }

    /**
     * Refuses to be used for anything but what it was made for: memory would be overwritten that is in use.
     *
     * @param other the program that is to be bound
     * @param requirements what its backend needs for it
     * @throws IllegalArgumentException if the plan was made for another program, or for less memory
     */
    public void requireFor(Program other, MemoryRequirements requirements) {
        String why = other == program
                ? whyNot(requirements)
                : "it was made for another program, with micro-batch " + program.microBatch() + " in mode "
                        + program.mode() + ", and this one has " + other.microBatch() + " in mode " + other.mode();
        if (!why.isEmpty()) {
            throw new IllegalArgumentException("the workspace plan is not this program's: " + why
                    + "; plan with WorkspacePlanner.plan(program, lowered.requirements())");
        }
    }

    private String whyNot(MemoryRequirements requirements) {
        for (Value value : program.values()) {
            if (value.home() == Home.ARENA && requirements.bytes(value) > valueBytes[value.id()]) {
                return value + " needs " + requirements.bytes(value) + " bytes, but has " + valueBytes[value.id()];
            }
        }
        for (int i = 0; i < scratchBytes.length; i++) {
            if (requirements.scratchBytes(i) > scratchBytes[i] || requirements.heldBytes(i) > heldBytes[i]) {
                return program.describe(i) + " needs more memory of its own than it has";
            }
            Op op = program.ops().get(i);
            for (Value input : op.overwritable()) {
                if (!op.outputs().isEmpty()
                        && sharePlace(input, op.outputs().get(0))
                        && !requirements.mayOverwrite(i, input)) {
                    return program.describe(i) + " must not overwrite " + input;
                }
            }
        }
        return "";
    }

    private boolean sharePlace(Value a, Value b) {
        return a.home() == Home.ARENA && b.home() == Home.ARENA && valueOffsets[a.id()] == valueOffsets[b.id()];
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
