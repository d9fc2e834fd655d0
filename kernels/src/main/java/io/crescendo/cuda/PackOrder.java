package io.crescendo.cuda;

import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Shape;
import java.util.List;

/**
 * The order of a pack's elements on the device.
 *
 * <p>A weight of a convolution, logically (K, C, R, S), lies there as (K, R, S, C): the channels that a pixel is
 * multiplied with lie side by side, as they do in an NHWC activation. Everything else lies in logical order, and every
 * tensor keeps its place.
 */
final class PackOrder {
    /** For memory that is no pack. */
    static final PackOrder PLAIN = new PackOrder(List.of());

    private final List<Reordered> tensors;

    private PackOrder(List<Reordered> tensors) {
        this.tensors = tensors;
    }

    static PackOrder of(ParameterPack pack) {
        return new PackOrder(pack.parameters().stream()
                .filter(PackOrder::isReordered)
                .map(Reordered::of)
                .toList());
    }

    private static boolean isReordered(Parameter parameter) {
        Shape shape = parameter.shape();
        // With one channel or one pixel both orders are the same.
        return shape.rank() == 4 && shape.dim(1) > 1 && shape.dim(2) * shape.dim(3) > 1;
    }

    /**
     * One tensor in another order.
     *
     * @param offset first element
     * @param filters K
     * @param channels C
     * @param pixels R·S
     */
    private record Reordered(long offset, int filters, int channels, int pixels) {
        static Reordered of(Parameter parameter) {
            Shape shape = parameter.shape();
            return new Reordered(
                    parameter.offset(),
                    Math.toIntExact(shape.dim(0)),
                    Math.toIntExact(shape.dim(1)),
                    Math.toIntExact(shape.dim(2) * shape.dim(3)));
        }

        long end() {
            return offset + (long) filters * channels * pixels;
        }

        boolean meets(long from, long to) {
            return offset < to && from < end();
        }

        /** Reorders this tensor inside {@code values}, which starts at element {@code from} of the pack. */
        void reorder(float[] values, long from, boolean toDevice) {
            float[] filter = new float[channels * pixels];
            for (int k = 0; k < filters; k++) {
                int start = Math.toIntExact(offset - from) + k * filter.length;
                System.arraycopy(values, start, filter, 0, filter.length);
                for (int c = 0; c < channels; c++) {
                    for (int p = 0; p < pixels; p++) {
                        int logical = c * pixels + p;
                        int onDevice = p * channels + c;
                        values[start + (toDevice ? onDevice : logical)] = filter[toDevice ? logical : onDevice];
                    }
                }
            }
        }
    }

    /** Whether both put every element in the same place. */
    boolean matches(PackOrder other) {
        return tensors.equals(other.tensors);
    }

    /** The start of the smallest range that contains an element range and cuts through no reordered tensor. */
    long start(long from, long to) {
        return tensors.stream()
                .filter(t -> t.meets(from, to))
                .mapToLong(Reordered::offset)
                .reduce(from, Math::min);
    }

    /** The end of that range. */
    long end(long from, long to) {
        return tensors.stream()
                .filter(t -> t.meets(from, to))
                .mapToLong(Reordered::end)
                .reduce(to, Math::max);
    }

    /** Changes logical order into the device's. {@code values} start at element {@code from} and cut no tensor. */
    void toDevice(float[] values, long from) {
        reorder(values, from, true);
    }

    /** Changes the device's order into the logical one. */
    void toLogical(float[] values, long from) {
        reorder(values, from, false);
    }

    private void reorder(float[] values, long from, boolean toDevice) {
        for (Reordered tensor : tensors) {
            if (tensor.meets(from, from + values.length)) {
                tensor.reorder(values, from, toDevice);
            }
        }
    }
}
