package io.crescendo.backend;

import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;

/** A program with its layouts and algorithms chosen, waiting for memory. */
public interface LoweredProgram extends AutoCloseable {
    /** Sizes for the planner. */
    MemoryRequirements requirements();

    /** Fixes addresses: makes room in the backend's workspace and prepares the program for replay. */
    Executable bind(WorkspacePlan plan, ModelMemory model);

    /** Releases what was chosen but not bound; executables made by {@link #bind} stay valid. */
    @Override
    void close();
}
