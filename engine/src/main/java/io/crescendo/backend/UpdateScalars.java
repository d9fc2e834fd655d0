package io.crescendo.backend;

/**
 * The numbers that may differ from update to update.
 *
 * @param learningRate ε
 * @param momentum m, or Adam's first decay rate β₁
 * @param gradientScale usually 1 / batch: gradients are sums over samples
 * @param weightDecay λ
 * @param update number of this update, from 1; Adam's bias correction needs it
 */
public record UpdateScalars(
        double learningRate, double momentum, double gradientScale, double weightDecay, long update) {}
