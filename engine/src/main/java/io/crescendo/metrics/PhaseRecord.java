package io.crescendo.metrics;

/**
 * A stretch of training with one batch begins.
 *
 * @param update updates made before it
 * @param epoch epochs seen before it
 * @param batch samples per update
 * @param microBatch samples on the device at once
 * @param microBatches micro-batches per update
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
        int microBatch,
        int microBatches,
        int ghostBatch,
        double learningRate,
        double momentum,
        double noiseScale,
        long workspaceBytes,
        long prepareNanos,
        long switchNanos) {}
