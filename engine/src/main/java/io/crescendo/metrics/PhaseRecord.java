package io.crescendo.metrics;

import java.util.List;

/**
 * A stretch of training with one batch, in the same pieces, begins.
 *
 * @param update updates made before it
 * @param epoch epochs seen before it
 * @param batch samples per update; fewer than scheduled where the ragged end of an epoch begins the phase
 * @param sizes samples of each of its micro-batches, in running order, the largest first
 * @param recomputation what is computed twice in each to save memory, {@code none} where nothing is; see
 *     {@link io.crescendo.memory.Recomputation}
 * @param ghostBatch samples per batch-norm statistic
 * @param learningRate ε at its start
 * @param momentum m
 * @param noiseScale g = εN/(B(1−m))
 * @param workspaceBytes arena bytes the largest micro-batch needs
 * @param prepareNanos time it took to trace, plan and compile the new batch size, in the background where the plan
 *     announced it
 * @param switchNanos time training stood still for the new batch size: waiting for the above if it was not ready,
 *     growing the workspace, setting addresses
 */
public record PhaseRecord(
        long update,
        double epoch,
        int batch,
        List<Integer> sizes,
        String recomputation,
        int ghostBatch,
        double learningRate,
        double momentum,
        double noiseScale,
        long workspaceBytes,
        long prepareNanos,
        long switchNanos) {
    public PhaseRecord {
        sizes = List.copyOf(sizes);
    }

    /** Samples on the device at once, at most. */
    public int microBatch() {
        return sizes.get(0);
    }

    /** Micro-batches per update. */
    public int microBatches() {
        return sizes.size();
    }
}
