package io.crescendo.schedule;

/**
 * The settings of one parameter update.
 *
 * @param batch samples per parameter update, over all micro-batches and devices
 * @param learningRate ε in w ← w − ε·v
 * @param momentum m in v ← m·v + g, in [0, 1)
 */
public record Phase(long batch, double learningRate, double momentum) {
    public Phase {
        if (batch < 1) {
            throw new IllegalArgumentException("batch " + batch + " must be at least 1 sample");
        }
        if (!(learningRate > 0) || Double.isInfinite(learningRate)) {
            throw new IllegalArgumentException("learning rate " + learningRate + " must be positive and finite");
        }
        if (!(momentum >= 0 && momentum < 1)) {
            throw new IllegalArgumentException(
                    "momentum " + momentum + " is outside [0, 1); use 0 for none, 0.9 is common");
        }
    }

    /** The noise scale of this phase on a training set of {@code samplesPerEpoch} samples. */
    public NoiseScale noiseScale(long samplesPerEpoch) {
        return new NoiseScale(learningRate, batch, momentum, samplesPerEpoch);
    }
}
