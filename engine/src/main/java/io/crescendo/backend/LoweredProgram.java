package io.crescendo.backend;

import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;

/** A program with its layouts and algorithms chosen, waiting for memory. */
public interface LoweredProgram extends AutoCloseable {
    /** Sizes for the planner. */
    MemoryRequirements requirements();

    /**
     * Does ahead whatever {@link #bind} would otherwise do itself and that needs neither addresses nor the workspace:
     * compiles kernels, builds primitives. Calling it is never necessary, and calling it again does nothing. May run on
     * another thread while a program runs.
     */
    default void compile() {}

    /**
     * Does ahead what {@link #bind} and the first run would do with the same arguments, once the workspace has
     * {@linkplain Workspace#prepare prepared} the plan's bytes. A wish: a backend may do nothing. May run on another
     * thread while other programs run.
     */
    default void bindAhead(WorkspacePlan plan, ModelMemory model) {}

    /**
     * Fixes addresses: makes room in the backend's workspace and prepares the program for replay. Cheap after
     * {@link #compile}.
     *
     * @throws DeviceMemoryException if the device has no room for the plan
     */
    Executable bind(WorkspacePlan plan, ModelMemory model);

    /** Releases what was chosen but not bound; executables made by {@link #bind} stay valid. */
    @Override
    void close();
}
