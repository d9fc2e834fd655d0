package io.crescendo.metrics;

/**
 * Running means of both numbers of {@link GradientNoise}, and their ratio, the gradient noise scale.
 *
 * <pre>
 *   mean ← mean + w · (estimate − mean),  w = max(1 / n, 0.05) at the n-th estimate
 * </pre>
 *
 * Plain means over the first twenty estimates, exponential ones from then on: long enough for single estimates, whose
 * |G|² is mostly noise where batches are small, and short against the epochs over which both change. A new batch size
 * starts nothing anew: neither number depends on it.
 *
 * @param squaredGradient mean of |G|²
 * @param variance mean of tr Σ
 * @param estimates how many there were
 */
public record GradientNoiseMean(double squaredGradient, double variance, long estimates) {
    /** Before the first estimate. */
    public static final GradientNoiseMean NONE = new GradientNoiseMean(0, 0, 0);

    private static final double LEAST_WEIGHT = 0.05;

    /** The means with one estimate more. */
    public GradientNoiseMean with(GradientNoise estimate) {
        double weight = Math.max(1.0 / (estimates + 1), LEAST_WEIGHT);
        return new GradientNoiseMean(
                squaredGradient + weight * (estimate.squaredGradient() - squaredGradient),
                variance + weight * (estimate.variance() - variance),
                estimates + 1);
    }

    /**
     * tr Σ / |G|² in samples: NaN before the first estimate, infinite while the noise hides the gradient, so that the
     * mean of |G|² is not positive.
     */
    public double scale() {
        if (estimates == 0) {
            return Double.NaN;
        }
        return squaredGradient > 0 ? Math.max(0, variance) / squaredGradient : Double.POSITIVE_INFINITY;
    }
}
