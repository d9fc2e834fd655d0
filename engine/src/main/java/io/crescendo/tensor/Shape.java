package io.crescendo.tensor;

import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * The extents of a tensor, outermost first: {@code (N, C, H, W)} for images, {@code (N, F)} for features.
 *
 * <p>N is the number of samples, C channels, H height, W width, F features. Extents are positive; a scalar has rank 0.
 */
public final class Shape {
    private final long[] extents;
    private final long elements;

    private Shape(long[] extents) {
        this.extents = extents;
        long product = 1;
        for (long extent : extents) {
            if (extent <= 0) {
                throw new IllegalArgumentException(
                        "every extent of a shape must be positive, but the shape is " + Arrays.toString(extents));
            }
            product = Math.multiplyExact(product, extent);
        }
        this.elements = product;
    }

    /** The shape with these extents, outermost first. */
    public static Shape of(long... extents) {
        return new Shape(extents.clone());
    }

    /** Number of dimensions. */
    public int rank() {
        return extents.length;
    }

    /** Extent of one dimension, 0 being the outermost. */
    public long dim(int dimension) {
        return extents[dimension];
    }

    /** Extent of one dimension as an int, for loops over one sample; fails where it would overflow. */
    public int intDim(int dimension) {
        return Math.toIntExact(extents[dimension]);
    }

    /** All extents, outermost first. */
    public long[] dims() {
        return extents.clone();
    }

    /** Product of all extents. */
    public long elements() {
        return elements;
    }

    /** Product of all extents but the outermost: the elements of one sample. */
    public long elementsPerSample() {
        return elements / extents[0];
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Shape shape && Arrays.equals(extents, shape.extents);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(extents);
    }

    /** The extents in parentheses: {@code (128, 16, 32, 32)}. */
    @Override
    public String toString() {
        return Arrays.stream(extents).mapToObj(Long::toString).collect(Collectors.joining(", ", "(", ")"));
    }
}
