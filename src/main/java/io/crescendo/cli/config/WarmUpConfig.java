package io.crescendo.cli.config;

/**
 * A linear rise of the learning rate at the start.
 *
 * @param epochs its length
 * @param initial ε at the first update
 */
public record WarmUpConfig(double epochs, double initial) {
    /**
     * Checks it.
     *
     * @param end what the learning rate begins with behind it
     * @param runEpochs length of training
     */
    void validate(double end, double runEpochs) {
        if (!(epochs > 0)) {
            throw new InvalidKeyException("learningRate.warmUp.epochs", "must be positive, but is " + epochs);
        }
        if (!(initial > 0)) {
            throw new InvalidKeyException("learningRate.warmUp.initial", "must be positive, but is " + initial);
        }
        if (initial > end) {
            throw new InvalidKeyException(
                    "learningRate.warmUp.initial",
                    "is " + initial + ", above learningRate.initial, " + end + "; a warm-up rises");
        }
        if (epochs >= runEpochs) {
            throw new InvalidKeyException(
                    "learningRate.warmUp.epochs",
                    "is " + epochs + ", but the run has no more than " + runEpochs + " epochs");
        }
    }

    WarmUpConfig stretched(double factor) {
        return new WarmUpConfig(epochs * factor, initial);
    }
}
