package io.crescendo.train;

import io.crescendo.memory.Recomputation;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * How one batch will run.
 *
 * @param batch samples per update
 * @param microBatches their sizes in running order, the largest first; they add up to the batch
 * @param workspaceBytes arena bytes that the largest of their plans needs
 * @param measured the sizes for an update at which the gradient's noise is measured: two halves where the batch would
 *     run whole and can be halved, otherwise {@code microBatches}
 * @param recomputation what is computed twice so that the largest fits
 */
public record StepPlan(
        int batch,
        List<Integer> microBatches,
        List<Integer> measured,
        long workspaceBytes,
        Recomputation recomputation) {
    public StepPlan {
        microBatches = List.copyOf(microBatches);
        measured = List.copyOf(measured);
    }

    /** Every size that is needed. */
    public Set<Integer> sizes() {
        Set<Integer> sizes = new LinkedHashSet<>(microBatches);
        sizes.addAll(measured);
        return sizes;
    }

    /** Samples of the first, the largest micro-batch. */
    public int microBatch() {
        return microBatches.get(0);
    }
}
