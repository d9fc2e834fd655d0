package io.crescendo.backend;

import java.util.List;

/** One parameter update over a whole pack, in one pass. */
public interface UpdateKernel extends AutoCloseable {
    /** Applies the rule to every parameter and leaves the gradients at zero for the next update. */
    void apply(UpdateScalars scalars);

    /**
     * Optimizer state to save with a checkpoint, in a fixed order: the momentum buffer, or Adam's first and second
     * moment.
     */
    List<DeviceMemory> state();

    @Override
    void close();
}
