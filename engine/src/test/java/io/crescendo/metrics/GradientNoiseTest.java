package io.crescendo.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The estimate against gradients whose mean and covariance are known. */
class GradientNoiseTest {
    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    /** Samples' gradients with given means and deviations of components, summed over micro-batches. */
    private GradientNoise measured(double[] mean, double[] deviation, List<Integer> sizes) {
        double[] batch = new double[mean.length];
        List<Double> squares = new ArrayList<>();
        for (int size : sizes) {
            double square = 0;
            for (int i = 0; i < mean.length; i++) {
                double sum = 0;
                for (int sample = 0; sample < size; sample++) {
                    sum += mean[i] + deviation[i] * random.nextGaussian();
                }
                square += sum * sum;
                batch[i] += sum;
            }
            squares.add(square);
        }
        double batchSquare = 0;
        for (double sum : batch) {
            batchSquare += sum * sum;
        }
        return GradientNoise.of(sizes, squares, batchSquare);
    }

    private static double square(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value * value;
        }
        return sum;
    }

    /** Mean and standard error of a quantity that is drawn anew again and again. */
    private static final class Sample {
        private final List<Double> values = new ArrayList<>();

        double mean() {
            return values.stream().mapToDouble(v -> v).average().orElseThrow();
        }

        double standardError() {
            double mean = mean();
            double sum =
                    values.stream().mapToDouble(v -> (v - mean) * (v - mean)).sum();
            return Math.sqrt(sum / (values.size() - 1.0) / values.size());
        }
    }

    @Test
    void meansOfEstimatesAreTheTruthForEqualAndRaggedMicroBatches() {
        double[] mean = new double[40];
        double[] deviation = new double[mean.length];
        for (int i = 0; i < mean.length; i++) {
            mean[i] = random.nextGaussian();
            deviation[i] = 3 * random.nextDouble();
        }
        for (List<Integer> sizes : List.of(List.of(4, 4), List.of(8, 8, 8, 1), List.of(2, 9), List.of(3, 3, 3, 3, 2))) {
            Sample gradient = new Sample();
            Sample variance = new Sample();
            for (int i = 0; i < 4000; i++) {
                GradientNoise noise = measured(mean, deviation, sizes);
                gradient.values.add(noise.squaredGradient());
                variance.values.add(noise.variance());
            }
            String where = "seed " + seed + ", sizes " + sizes;
            // Six standard errors: by chance once in 10⁸ tests. They are a few hundredths of what is estimated, so that
            // an estimator which confuses |G|² with |G|² + tr Σ / B, or forgets the weights of ragged ends, fails.
            assertEquals(square(mean), gradient.mean(), 6 * gradient.standardError(), where);
            assertEquals(square(deviation), variance.mean(), 6 * variance.standardError(), where);
            assertTrue(6 * variance.standardError() < 0.1 * square(deviation), where + ": the test says nothing");
        }
    }

    @Test
    void gradientsWithoutNoiseHaveNone() {
        GradientNoise noise = measured(new double[] {3, -4}, new double[2], List.of(5, 7, 1));
        assertEquals(25, noise.squaredGradient(), 1e-12); // a handful of roundings of double
        assertEquals(0, noise.variance(), 1e-10);
    }

    @Test
    void theTextbookFormulasForTwoEqualHalves() {
        // Mean gradients (2, 0) and (0, 2) of 4 samples each: small = 4, big = |(1, 1)|² = 2.
        GradientNoise noise = GradientNoise.of(List.of(4, 4), List.of(64.0, 64.0), 128);
        assertEquals((8 * 2 - 4 * 4) / 4.0, noise.squaredGradient(), 1e-12);
        assertEquals((4 - 2) / (1.0 / 4 - 1.0 / 8), noise.variance(), 1e-12);
    }

    @Test
    void oneMicroBatchSaysNothing() {
        assertThrows(IllegalArgumentException.class, () -> GradientNoise.of(List.of(8), List.of(1.0), 1));
        assertThrows(IllegalArgumentException.class, () -> GradientNoise.of(List.of(8, 8), List.of(1.0), 1));
    }

    @Test
    void theScaleIsARatioOfMeans() {
        assertTrue(Double.isNaN(GradientNoiseMean.NONE.scale()));
        GradientNoiseMean one = GradientNoiseMean.NONE.with(new GradientNoise(-1, 6));
        assertEquals(Double.POSITIVE_INFINITY, one.scale(), "the noise hides the gradient");
        GradientNoiseMean two = one.with(new GradientNoise(5, 2));
        assertEquals(new GradientNoiseMean(2, 4, 2), two);
        assertEquals(2, two.scale());
        assertEquals(0, GradientNoiseMean.NONE.with(new GradientNoise(1, -3)).scale(), "a variance is not negative");
    }

    @Test
    void oldEstimatesAreForgotten() {
        GradientNoiseMean mean = GradientNoiseMean.NONE;
        for (int i = 0; i < 50; i++) {
            mean = mean.with(new GradientNoise(100, 100));
        }
        for (int i = 0; i < 200; i++) {
            mean = mean.with(new GradientNoise(1, 7));
        }
        // 0.95²⁰⁰ of the old value, 3.5e-5, is left.
        assertEquals(1, mean.squaredGradient(), 0.01);
        assertEquals(7, mean.scale(), 0.05);
    }
}
