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
 * @param prepareNanos time it took to trace, plan and prepare the new batch size
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
        long prepareNanos) {}
