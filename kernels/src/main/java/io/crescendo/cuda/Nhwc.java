package io.crescendo.cuda;

import io.crescendo.autograd.Value;
import io.crescendo.tensor.Shape;

/**
 * An activation as kernels see it: a matrix of pixels by channels.
 *
 * <p>(N, C, H, W) has N·H·W rows of C channels, (N, F) has N rows of F.
 *
 * @param samples N
 * @param channels C, or F
 * @param height H, or 1
 * @param width W, or 1
 */
record Nhwc(int samples, int channels, int height, int width) {
    /**
     * The extents of a value.
     *
     * @throws IllegalArgumentException if a kernel could not count its rows
     */
    static Nhwc of(Value value) {
        Shape shape = value.shape();
        boolean image = shape.rank() == 4;
        if (!image && shape.rank() != 2) {
            throw new IllegalArgumentException(
                    value + " has " + shape.rank() + " extents; activations have 2, (N, F), or 4, (N, C, H, W)");
        }
        long rows = shape.elements() / shape.dim(1);
        if (rows > Integer.MAX_VALUE || shape.dim(1) > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(value + " has " + rows + " rows of " + shape.dim(1)
                    + " channels; CUDA kernels count both in 31 bits. Give a smaller memory budget, so that fewer"
                    + " samples are on the device at once");
        }
        return new Nhwc(shape.intDim(0), shape.intDim(1), image ? shape.intDim(2) : 1, image ? shape.intDim(3) : 1);
    }

    /** H·W. */
    int plane() {
        return height * width;
    }

    /** N·H·W. */
    int rows() {
        return samples * plane();
    }
}
