package io.crescendo.metrics;

/**
 * The gradient's noise at one update, where it is measured.
 *
 * @param update number of the update, from 1
 * @param epoch epochs seen once it is done
 * @param batch samples in it
 * @param microBatches it ran in
 * @param estimate from this update alone
 * @param mean with those before
 */
public record GradientNoiseRecord(
        long update, double epoch, int batch, int microBatches, GradientNoise estimate, GradientNoiseMean mean) {}
