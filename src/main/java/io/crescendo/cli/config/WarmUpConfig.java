package io.crescendo.cli.config;

/**
 * A linear rise of the learning rate at the start.
 *
 * @param epochs its length
 * @param initial ε at the first update
 */
public record WarmUpConfig(double epochs, double initial) {
    void validate() {
        if (!(epochs > 0)) {
            throw new InvalidKeyException("learningRate.warmUp.epochs", "must be positive, but is " + epochs);
        }
        if (!(initial > 0)) {
            throw new InvalidKeyException("learningRate.warmUp.initial", "must be positive, but is " + initial);
        }
    }

    WarmUpConfig stretched(double factor) {
        return new WarmUpConfig(epochs * factor, initial);
    }
}
