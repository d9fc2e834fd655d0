package io.crescendo.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Shape;
import org.junit.jupiter.api.Test;

class InitializersTest {
    private static final Shape SHAPE = Shape.of(128, 64, 3, 5);

    private static float[] draw(Initializer initializer, long key) {
        float[] values = new float[Math.toIntExact(SHAPE.elements())];
        initializer.initialize(SHAPE, key, values);
        return values;
    }

    private static double variance(float[] values) {
        double sum = 0;
        double squares = 0;
        for (float value : values) {
            sum += value;
            squares += (double) value * value;
        }
        double mean = sum / values.length;
        // The mean of 122,880 draws with deviation below 0.1 lies within 5 standard errors of zero.
        assertTrue(Math.abs(mean) < 5 * 0.1 / Math.sqrt(values.length), "mean " + mean);
        return squares / values.length - mean * mean;
    }

    @Test
    void variancesAreThoseOfTheirPapers() {
        // A sample variance of n draws has a relative standard error of about sqrt(2/n) = 0.4 %; 2 % is five of them.
        assertEquals(2.0 / (64 * 15), variance(draw(Initializers.heNormalFanIn(), 5)), 0.02 * 2.0 / (64 * 15));
        assertEquals(2.0 / (128 * 15), variance(draw(Initializers.heNormalFanOut(), 5)), 0.02 * 2.0 / (128 * 15));
        assertEquals(2.0 / (192 * 15), variance(draw(Initializers.glorotUniform(), 5)), 0.02 * 2.0 / (192 * 15));
        assertEquals(1.0 / (64 * 15) / 3, variance(draw(Initializers.lecunUniform(), 5)), 0.02 / (64 * 15) / 3);
    }

    @Test
    void theKeyDecidesTheNumbers() {
        assertArrayEquals(draw(Initializers.heNormalFanIn(), 1), draw(Initializers.heNormalFanIn(), 1));
        assertNotEquals(draw(Initializers.heNormalFanIn(), 1)[0], draw(Initializers.heNormalFanIn(), 2)[0]);
    }
}
