package io.crescendo.cuda;

import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** One comparison of a kernel with its twin: random numbers, buffers, launches, and what counts as equal. */
@NullMarked
record Trial(KernelLauncher device, Random random, ElementType type) {
    static final int THREADS = 256;
    private static final double BF16_ROUNDING = 0x1p-8; // half a unit in the last place is at most 2^-9 of the number

    /** An integer in [low, high]. */
    int between(int low, int high) {
        return low + random.nextInt(high - low + 1);
    }

    /** Name of the kernel for this type of activations. */
    String named(String kernel) {
        return kernel + (type == ElementType.F32 ? "_f32" : "_bf16");
    }

    /** Elements of a 16-byte pack. */
    int packed() {
        return 16 / type.bytes;
    }

    /** Normally distributed activations that this trial's type holds exactly. */
    double[] activations(int count) {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            values[i] = rounded(random.nextGaussian());
        }
        return values;
    }

    double rounded(double value) {
        return type == ElementType.F32 ? (float) value : Float.intBitsToFloat(DeviceBuffer.bf16((float) value) << 16);
    }

    /** Normally distributed float32 numbers. */
    double[] floats(int count) {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** A buffer of activations, on an aligned address or not. */
    DeviceBuffer buffer(int count) {
        return buffer(type, count);
    }

    DeviceBuffer buffer(ElementType elements, int count) {
        return new DeviceBuffer(elements, count, random.nextBoolean() ? 0 : random.nextInt(8));
    }

    DeviceBuffer written(double... values) {
        return buffer(values.length).write(values);
    }

    DeviceBuffer written(ElementType elements, double... values) {
        return buffer(elements, values.length).write(values);
    }

    /** Launches over a one-dimensional grid of random size. */
    void launch(String kernel, @Nullable Object... arguments) {
        launchGrid(kernel, between(1, 5), 1, arguments);
    }

    void launchGrid(String kernel, int gridX, int gridY, @Nullable Object... arguments) {
        device.launch(random.nextLong(), kernel, new Grid(gridX, gridY), arguments);
    }

    /** A cooperative launch: all blocks are alive at once, and may wait for each other. */
    void launchTogether(String kernel, Grids.Teams teams, @Nullable Object... arguments) {
        device.launchTogether(random.nextLong(), kernel, teams, arguments);
    }

    /** Compares activations: within the tolerance, and the rounding of their type. */
    void close(String what, double[] expected, DeviceBuffer actual, double tolerance) {
        close(what, expected, actual.read(), tolerance, type == ElementType.BF16 ? BF16_ROUNDING : 0);
    }

    /** The same where NaN is expected in some places. */
    void closeOrNaN(String what, double[] expected, DeviceBuffer actual, double tolerance) {
        double[] numbers = expected.clone();
        double[] found = actual.read();
        for (int i = 0; i < numbers.length && i < found.length; i++) {
            if (Double.isNaN(numbers[i]) && Double.isNaN(found[i])) {
                numbers[i] = 0;
                found[i] = 0;
            }
        }
        close(what, numbers, found, tolerance, type == ElementType.BF16 ? BF16_ROUNDING : 0);
    }

    /** Compares float32 numbers. */
    static void closeFloats(String what, double[] expected, DeviceBuffer actual, double tolerance) {
        close(what, expected, actual.read(), tolerance, 0);
    }

    private static void close(String what, double[] expected, double[] actual, double absolute, double relative) {
        if (expected.length != actual.length) {
            throw new AssertionError(what + ": " + actual.length + " elements for " + expected.length);
        }
        for (int i = 0; i < expected.length; i++) {
            // Written so that NaN, the poison, is never close; the difference of infinities is NaN, too.
            if (expected[i] != actual[i]
                    && !(Math.abs(expected[i] - actual[i]) <= absolute + relative * Math.abs(expected[i]))) {
                throw new AssertionError(what + "[" + i + "] is " + actual[i] + ", the twin has " + expected[i]);
            }
        }
    }

    /** (N, C, plane) to (N, plane, C). */
    static double[] toNhwc(double[] values, int channels, int plane) {
        double[] result = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            int n = i / (channels * plane);
            int c = i / plane % channels;
            int p = i % plane;
            result[(n * plane + p) * channels + c] = values[i];
        }
        return result;
    }

    /** Blocks that lie side by side over so many channels. */
    int slabs(int channels) {
        return new Grids(1, 0, 16 / packed()).slabs(channels);
    }

    /** Channels of every kind: few, ragged, whole packs, more than one slab. */
    int anyChannels() {
        return switch (random.nextInt(4)) {
            case 0 -> between(1, 9);
            case 1 -> 8 * between(1, 6);
            case 2 -> between(1, 70);
            default -> between(120, 300);
        };
    }
}
