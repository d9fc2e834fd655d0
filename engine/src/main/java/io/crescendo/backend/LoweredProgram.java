package io.crescendo.backend;

import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import java.util.Optional;

/** A program with its layouts and algorithms chosen, waiting for memory. */
public interface LoweredProgram extends AutoCloseable {
    /**
     * Sizes for the planner. After {@link #compile} some may be smaller, never larger: a plan that was made before
     * stays valid, one that is made then may take less.
     */
    MemoryRequirements requirements();

    /**
     * Does ahead whatever {@link #bind} would otherwise do itself and that needs neither addresses nor the workspace:
     * compiles kernels, builds primitives. Calling it is never necessary, and calling it again does nothing. May run on
     * another thread while a program runs.
     */
    default void compile() {}

    /**
     * {@link #bind} for a program that is to run later, on another thread while other programs run, with as much of its
     * first run done as possible. The workspace must have {@linkplain Workspace#prepare prepared} the plan's bytes, and
     * must be asked to reserve them before the first run.
     *
     * @param whole whether an update follows each run; otherwise the program may be one of several pieces of a batch
     * @return empty where the backend cannot do that, or not now
     */
    default Optional<Executable> bindAhead(WorkspacePlan plan, ModelMemory model, boolean whole) {
        return Optional.empty();
    }

    /**
     * Fixes addresses: makes room in the backend's workspace and prepares the program for replay. Cheap after
     * {@link #compile}.
     *
     * @throws DeviceMemoryException if the device has no room for the plan
     * @throws IllegalArgumentException if the plan or the model is another program's
     * @throws IllegalStateException if this was closed
     */
    Executable bind(WorkspacePlan plan, ModelMemory model);

    /** Releases what was chosen but not bound; executables made by {@link #bind} stay valid. */
    @Override
    void close();
}
