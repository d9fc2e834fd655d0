package io.crescendo.tensor;

import java.util.Arrays;

/**
 * Fills a parameter with its first values.
 *
 * <p>An initializer is a pure function of shape and key: the same seed gives the same weights on every backend.
 */
@FunctionalInterface
public interface Initializer {
    /**
     * Writes the initial values.
     *
     * @param shape the parameter's shape
     * @param key seeds the random numbers; differs from parameter to parameter
     * @param values receives {@code shape.elements()} numbers in row-major order
     */
    void initialize(Shape shape, long key, float[] values);

    /** Every element gets the same value. */
    static Initializer constant(float value) {
        return (shape, key, values) -> Arrays.fill(values, value);
    }
}
