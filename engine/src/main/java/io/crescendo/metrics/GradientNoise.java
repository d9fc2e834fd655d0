package io.crescendo.metrics;

import java.util.List;

/**
 * How long the true gradient is and how far those of single samples scatter around it, estimated without bias from one
 * batch that ran as several micro-batches.
 *
 * <p>With b_k samples and the summed gradient s_k of micro-batch k, B = Σ b_k, and means over samples of gradients:
 *
 * <pre>
 *   E|s_k / b_k|² = |G|² + tr Σ / b_k            E|Σ s_k / B|² = |G|² + tr Σ / B
 *   small = Σ (b_k / B) |s_k / b_k|²             whose expectation is |G|² + tr Σ / b, where b = B / K
 *   big   = |Σ s_k / B|²
 *
 *   |G|² = (B · big − b · small) / (B − b)       tr Σ = (small − big) / (1/b − 1/B)
 * </pre>
 *
 * The weights b_k / B make the formulas of equal micro-batches exact for unequal ones. Either estimate may be negative.
 * Their ratio tr Σ / |G|² is the <em>gradient noise scale</em>, the batch above which more samples help little; a ratio
 * of two noisy numbers is biased, so {@link GradientNoiseMean} divides means. It is a property of the gradients, and
 * not the noise scale g of training ({@link io.crescendo.schedule.NoiseScale}), which the schedule decides.
 *
 * <p>Samples count as drawn independently. Within an epoch they are drawn without replacement, which matters for
 * batches that are a good part of the training set; batch normalisation couples those of a ghost batch.
 *
 * <p>Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.1.
 *
 * @param squaredGradient |G|², G being the mean gradient over all samples there could be
 * @param variance tr Σ, the summed variance of all components of one sample's gradient
 */
public record GradientNoise(double squaredGradient, double variance) {
    /**
     * Estimates from one batch.
     *
     * @param sizes samples of each micro-batch, at least two of them
     * @param squares |s_k|² of their summed gradients
     * @param batchSquare |Σ s_k|²
     */
    public static GradientNoise of(List<Integer> sizes, List<Double> squares, double batchSquare) {
        if (sizes.size() < 2 || sizes.size() != squares.size()) {
            throw new IllegalArgumentException("gradient noise is estimated from at least two micro-batches and as many"
                    + " norms, not from " + sizes.size() + " and " + squares.size());
        }
        double batch = sizes.stream().mapToDouble(size -> size).sum();
        double equal = batch / sizes.size();
        double small = 0;
        for (int k = 0; k < sizes.size(); k++) {
            small += squares.get(k) / (sizes.get(k) * batch);
        }
        double big = batchSquare / (batch * batch);
        return new GradientNoise(
                (batch * big - equal * small) / (batch - equal), (small - big) / (1 / equal - 1 / batch));
    }
}
