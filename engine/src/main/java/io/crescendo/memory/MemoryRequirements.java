package io.crescendo.memory;

import io.crescendo.autograd.Value;

/** What a backend needs to run a program: the sizes in its own layouts and types. */
public interface MemoryRequirements {
    /** Bytes of an arena value in the backend's layout. */
    long bytes(Value value);

    /** How many samples of a micro-batch lie in the arena at once: all, unless they pass through in smaller groups. */
    default int samplesAtOnce(int microBatch) {
        return microBatch;
    }

    /** Bytes of scratch memory that are needed only while one operation runs. */
    long scratchBytes(int opIndex);

    /** Bytes that one operation fills beside its outputs, and that stay until the last operation has ended. */
    default long heldBytes(int opIndex) {
        return 0;
    }

    /**
     * Whether the first output of the operation may lie exactly where {@code input} lies, if the input is not needed
     * afterwards. Asked only for {@link io.crescendo.autograd.Op#overwritable() overwritable} inputs.
     */
    boolean mayOverwrite(int opIndex, Value input);
}
