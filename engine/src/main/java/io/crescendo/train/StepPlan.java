package io.crescendo.train;

import io.crescendo.memory.Recomputation;
import java.util.List;

/**
 * How one batch will run.
 *
 * @param batch samples per update
 * @param microBatches their sizes in running order, the largest first; they add up to the batch
 * @param workspaceBytes arena bytes that the largest of their plans needs
 * @param recomputation what is computed twice so that the largest fits
 */
public record StepPlan(int batch, List<Integer> microBatches, long workspaceBytes, Recomputation recomputation) {
    public StepPlan {
        microBatches = List.copyOf(microBatches);
    }

    /** Samples of the first, the largest micro-batch. */
    public int microBatch() {
        return microBatches.get(0);
    }
}
