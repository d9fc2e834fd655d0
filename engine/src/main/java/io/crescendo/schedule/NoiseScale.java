package io.crescendo.schedule;

/**
 * The noise scale g of stochastic gradient descent: the strength of the random force in dw/dt = −dC/dw + η(t).
 *
 * <pre>
 *   exact        g = ε (N/B − 1) / (1 − m)
 *   approximate  g ≈ ε N / (B (1 − m))          for B much smaller than N
 * </pre>
 *
 * Schedules are converted by the approximate form, from which B ∝ ε/(1−m) follows; the two differ by the share B/N, so
 * up to N/10 by at most a tenth. Not to be confused with the gradient noise scale tr Σ / |G|² of McCandlish et al. 2018
 * (arXiv 1812.06162), a property of the gradients that says how large a batch is still useful.
 *
 * <p>Example: {@code new NoiseScale(0.1, 128, 0.9, 50_000).approximate()} is 390.625.
 *
 * <p>Source: Smith and Le 2018, arXiv 1710.06451; with momentum in Smith et al. 2018, arXiv 1711.00489.
 *
 * @param learningRate ε
 * @param batch B, in samples
 * @param momentum m, in [0, 1)
 * @param samples N, the size of the training set
 */
public record NoiseScale(double learningRate, long batch, double momentum, long samples) {
    public NoiseScale {
        if (batch < 1 || batch > samples) {
            throw new IllegalArgumentException("batch " + batch + " must be between 1 and the training set's " + samples
                    + " samples for a noise scale to exist");
        }
        if (!(momentum >= 0 && momentum < 1)) {
            throw new IllegalArgumentException("momentum " + momentum + " is outside [0, 1)");
        }
    }

    /** ε (N/B − 1) / (1 − m): zero when the batch is the whole training set. */
    public double exact() {
        return learningRate * ((double) samples / batch - 1) / (1 - momentum);
    }

    /** ε N / (B (1 − m)): what conversions between schedules keep. */
    public double approximate() {
        return learningRate * samples / (batch * (1 - momentum));
    }
}
