package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import java.util.List;
import java.util.Locale;

/**
 * One convolution to be computed, with symmetric padding: everything that decides which algorithm is fastest.
 *
 * <p>Letters as in {@link io.crescendo.autograd.Op.Conv2d}. x is (N, H, W, C), y (N, P, Q, K), both in the type of
 * activations; the weight is (K, R, S, C / groups), in that type too when it is read, float32 when its gradient is
 * added up.
 *
 * @param direction what is computed
 * @param precision format of products and activations
 * @param samples N
 * @param channels C
 * @param height H
 * @param width W
 * @param filters K
 * @param outHeight P
 * @param outWidth Q
 * @param kernelHeight R
 * @param kernelWidth S
 * @param strideHeight rows between two windows
 * @param strideWidth columns between two windows
 * @param padHeight rows added above and below
 * @param padWidth columns added left and right
 * @param groups C and K are split into this many independent groups
 * @param bias whether a bias is added to y
 * @param addend whether a value of the result's shape is added to y, or to dx
 * @param relu whether negative results become zero
 */
record ConvolutionProblem(
        Direction direction,
        Precision precision,
        int samples,
        int channels,
        int height,
        int width,
        int filters,
        int outHeight,
        int outWidth,
        int kernelHeight,
        int kernelWidth,
        int strideHeight,
        int strideWidth,
        int padHeight,
        int padWidth,
        int groups,
        boolean bias,
        boolean addend,
        boolean relu) {
    /** What is computed from what. */
    enum Direction {
        /** y from x and the weight. */
        FORWARD,
        /** dx from dy and the weight. */
        INPUT_GRADIENT,
        /** The weight's gradient from x and dy, added to what is there. */
        WEIGHT_GRADIENT
    }

    /** Elements of x. */
    long inputElements() {
        return (long) samples * height * width * channels;
    }

    /** Elements of y. */
    long outputElements() {
        return (long) samples * outHeight * outWidth * filters;
    }

    /** Elements of the weight. */
    long weightElements() {
        return (long) filters * kernelHeight * kernelWidth * (channels / groups);
    }

    /** Elements of what is computed. */
    long resultElements() {
        return switch (direction) {
            case FORWARD -> outputElements();
            case INPUT_GRADIENT -> inputElements();
            case WEIGHT_GRADIENT -> weightElements();
        };
    }

    /** Whether it is a weight gradient of bf16 activations, which cuDNN gives in bf16 only. */
    boolean narrow() {
        return direction == Direction.WEIGHT_GRADIENT && precision == Precision.BF16;
    }

    /** Bytes of an element of x and y. */
    int elementBytes() {
        return precision == Precision.BF16 ? Short.BYTES : Float.BYTES;
    }

    /** All extents in the order in which kernels of our own take them: filter.cuh. */
    List<Integer> extents() {
        return List.of(
                samples,
                channels,
                height,
                width,
                filters,
                outHeight,
                outWidth,
                kernelHeight,
                kernelWidth,
                strideHeight,
                strideWidth,
                padHeight,
                padWidth,
                groups);
    }

    /** Bytes of x and y together. */
    long activationBytes() {
        return (inputElements() + outputElements()) * elementBytes();
    }

    /** The same for another number of samples. */
    ConvolutionProblem withSamples(int count) {
        return with(count, bias, addend, relu);
    }

    /** The same with or without what follows the convolution. */
    ConvolutionProblem withEpilogue(boolean addsBias, boolean adds, boolean rectifies) {
        return with(samples, addsBias, adds, rectifies);
    }

    private ConvolutionProblem with(int count, boolean addsBias, boolean adds, boolean rectifies) {
        return new ConvolutionProblem(
                direction,
                precision,
                count,
                channels,
                height,
                width,
                filters,
                outHeight,
                outWidth,
                kernelHeight,
                kernelWidth,
                strideHeight,
                strideWidth,
                padHeight,
                padWidth,
                groups,
                addsBias,
                adds,
                rectifies);
    }

    /** The problem as one word, for files and messages. */
    String key() {
        return String.format(
                Locale.ROOT,
                "%s-%s-n%d-c%d-h%d-w%d-k%d-p%d-q%d-r%d-s%d-u%dx%d-pad%dx%d-g%d%s%s%s",
                direction.name().toLowerCase(Locale.ROOT),
                precision.name().toLowerCase(Locale.ROOT),
                samples,
                channels,
                height,
                width,
                filters,
                outHeight,
                outWidth,
                kernelHeight,
                kernelWidth,
                strideHeight,
                strideWidth,
                padHeight,
                padWidth,
                groups,
                bias ? "-bias" : "",
                addend ? "-add" : "",
                relu ? "-relu" : "");
    }
}
