package io.crescendo.train;

import java.util.List;

/**
 * How one batch will run.
 *
 * @param batch samples per update
 * @param microBatches their sizes in running order, the largest first; they add up to the batch
 * @param workspaceBytes arena bytes that the largest of their plans needs
 */
public record StepPlan(int batch, List<Integer> microBatches, long workspaceBytes) {
    public StepPlan {
        microBatches = List.copyOf(microBatches);
    }

    /** Samples of the first, the largest micro-batch. */
    public int microBatch() {
        return microBatches.get(0);
    }
}
