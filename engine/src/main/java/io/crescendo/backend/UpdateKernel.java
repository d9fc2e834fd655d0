package io.crescendo.backend;

import java.util.List;

/** One parameter update over a whole pack, in one pass. */
public interface UpdateKernel extends AutoCloseable {
    /**
     * Applies the rule to every parameter and leaves the gradients at zero for the next update.
     *
     * <p>If a gradient is infinite or NaN, nothing but the clearing happens: weights and state stay what they were, all
     * of them. A device may take a gradient for infinite whose square its float32 does not hold. The same goes for
     * every later update until {@link StepMetrics#clear}, and the loss of every reading until then is not finite, so
     * that the caller learns of it. A finite loss promises nothing: products may overflow on their way back.
     */
    void apply(UpdateScalars scalars);

    /**
     * Optimizer state to save with a checkpoint, in a fixed order: the momentum buffer, or Adam's first and second
     * moment.
     */
    List<DeviceMemory> state();

    @Override
    void close();
}
