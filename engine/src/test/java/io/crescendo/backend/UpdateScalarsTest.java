package io.crescendo.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;

class UpdateScalarsTest {
    private static final double NONE = Double.POSITIVE_INFINITY;

    private static DynamicTest refused(String message, Executable making) {
        return DynamicTest.dynamicTest(
                message,
                () -> assertEquals(
                        message,
                        assertThrows(IllegalArgumentException.class, making).getMessage()));
    }

    @TestFactory
    Stream<DynamicTest> whatWouldSpoilTheWeightsIsRefused() {
        return Stream.of(
                refused(
                        "learningRate must be finite and at least 0, but is NaN",
                        () -> new UpdateScalars(Double.NaN, 0.9, 1, 0, 1)),
                refused(
                        "learningRate must be finite and at least 0, but is -0.1",
                        () -> new UpdateScalars(-0.1, 0.9, 1, 0, 1)),
                refused(
                        "learningRate must be finite and at least 0, but is Infinity",
                        () -> new UpdateScalars(NONE, 0.9, 1, 0, 1)),
                refused("momentum must be in [0, 1), but is 1.0", () -> new UpdateScalars(0.1, 1, 1, 0, 1)),
                refused("momentum must be in [0, 1), but is -0.5", () -> new UpdateScalars(0.1, -0.5, 1, 0, 1)),
                refused("momentum must be in [0, 1), but is NaN", () -> new UpdateScalars(0.1, Double.NaN, 1, 0, 1)),
                refused(
                        "gradientScale must be positive and finite, but is 0.0",
                        () -> new UpdateScalars(0.1, 0.9, 0, 0, 1)),
                refused(
                        "gradientScale must be positive and finite, but is NaN",
                        () -> new UpdateScalars(0.1, 0.9, Double.NaN, 0, 1)),
                refused(
                        "gradientScale must be positive and finite, but is Infinity",
                        () -> new UpdateScalars(0.1, 0.9, 1.0 / 0, 0, 1)),
                refused(
                        "weightDecay must be finite and at least 0, but is -1.0E-4",
                        () -> new UpdateScalars(0.1, 0.9, 1, -1e-4, 1)),
                refused(
                        "weightDecay must be finite and at least 0, but is NaN",
                        () -> new UpdateScalars(0.1, 0.9, 1, Double.NaN, 1)),
                refused("update must be at least 1, but is 0", () -> new UpdateScalars(0.1, 0.9, 1, 0, 0)),
                refused(
                        "clipNorm must be positive, or infinite, but is 0.0",
                        () -> new UpdateScalars(0.1, 0.9, 1, 0, 1, 0)),
                refused(
                        "clipNorm must be positive, or infinite, but is NaN",
                        () -> new UpdateScalars(0.1, 0.9, 1, 0, 1, Double.NaN)));
    }

    /** The ends of the ranges that a schedule or an optimizer may mean. */
    @Test
    void zerosAndNoClippingAreAllowed() {
        UpdateScalars least = new UpdateScalars(0, 0, Double.MIN_VALUE, 0, 1, NONE);
        assertEquals(0, least.learningRate());
        assertEquals(new UpdateScalars(0, 0, Double.MIN_VALUE, 0, 1), least);
    }

    @Test
    void clippingKeepsTheScalePositive() {
        UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 0.5, 0, 1, 3);
        assertEquals(0.5, scalars.clipped(3).gradientScale());
        assertEquals(0.25, scalars.clipped(6).gradientScale());
        assertTrue(scalars.clipped(NONE).gradientScale() > 0);
    }
}
