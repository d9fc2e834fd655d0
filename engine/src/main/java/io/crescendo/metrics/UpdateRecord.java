package io.crescendo.metrics;

/**
 * One parameter update.
 *
 * @param update number of the update, from 1
 * @param samples training samples seen once this update is done
 * @param epoch the same in epochs
 * @param batch samples in this update; smaller than scheduled at a ragged end of an epoch
 * @param microBatch samples on the device at once
 * @param microBatches how many of them made up the batch
 * @param learningRate ε
 * @param momentum m
 * @param noiseScale g = εN/(B(1−m)), B being the samples in this update
 * @param loss mean training loss over the batch, before the update
 * @param accuracy share of the batch that was classified correctly, before the update
 * @param nanos wall time of the update, data loading included
 * @param workspaceBytes bytes the arena holds
 */
public record UpdateRecord(
        long update,
        long samples,
        double epoch,
        int batch,
        int microBatch,
        int microBatches,
        double learningRate,
        double momentum,
        double noiseScale,
        double loss,
        double accuracy,
        long nanos,
        long workspaceBytes) {
    /** Training throughput of this update. */
    public double imagesPerSecond() {
        return batch / (nanos * 1e-9);
    }
}
