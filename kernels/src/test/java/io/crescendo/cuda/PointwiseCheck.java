package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.reference.Twin;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.NullMarked;

/** pointwise.cu, difference.cu, bias.cu, dropout.cu and channels.cu. */
@NullMarked
final class PointwiseCheck {
    // One float32 rounding of numbers below ten.
    private static final double TOLERANCE = 1e-6;

    private PointwiseCheck() {}

    static void elementwise(Trial trial) {
        int count = trial.between(1, 5000);
        Twin twin = new Twin();
        double[] a = trial.activations(count);
        double[] b = trial.activations(count);
        Value left = twin.value(a, count);
        Value right = twin.value(b, count);
        String what = " of " + count;

        Value relu = twin.zeros(count);
        twin.run(new Op.Relu(left, relu));
        DeviceBuffer y = trial.buffer(count);
        trial.launch(trial.named("relu"), y, trial.written(a), (long) count);
        trial.close("relu" + what, twin.of(relu), y, 0);

        Value reluGradient = twin.zeros(count);
        twin.run(new Op.ReluGradient(relu, right, reluGradient));
        DeviceBuffer dx = trial.written(b); // in place
        trial.launch(trial.named("relu_gradient"), dx, y, dx, (long) count);
        trial.close("relu_gradient" + what, twin.of(reluGradient), dx, 0);

        boolean rectified = trial.random().nextBoolean();
        Value sum = twin.zeros(count);
        twin.run(new Op.Add(left, right, sum, rectified));
        DeviceBuffer total = trial.written(a);
        trial.launch(trial.named("add"), total, total, trial.written(b), (long) count, rectified ? 1 : 0);
        trial.close("add" + what, twin.of(sum), total, TOLERANCE);

        float factor = (float) trial.random().nextGaussian();
        Value scaled = twin.zeros(count);
        twin.run(new Op.Scale(left, scaled, factor));
        DeviceBuffer product = trial.buffer(count);
        trial.launch(trial.named("scale"), product, trial.written(a), (long) count, factor);
        trial.close("scale" + what, twin.of(scaled), product, TOLERANCE);

        double[] filled = new double[count];
        Arrays.fill(filled, trial.rounded(factor));
        trial.launch(trial.named("fill"), product, (long) count, factor);
        trial.close("fill" + what, filled, product, 0);

        casts(trial, count);
        notANumber(trial);
    }

    /** A network that has diverged must not look sound behind a ReLU. */
    private static void notANumber(Trial trial) {
        DeviceBuffer y = trial.buffer(2);
        trial.launch(trial.named("relu"), y, trial.written(Double.NaN, -1), 2L);
        double[] result = y.read();
        if (!Double.isNaN(result[0]) || result[1] != 0) {
            throw new AssertionError("relu of NaN and -1 is " + Arrays.toString(result));
        }
    }

    /** The largest difference and number of all blocks together, and NaN wherever there is one. */
    static void difference(Trial trial) {
        int count = trial.between(1, 5000);
        int blocks = trial.between(1, 5);
        double[] x = trial.activations(count);
        double[] y = trial.activations(count);
        double apart = 0;
        double largest = 0;
        for (int i = 0; i < count; i++) {
            apart = Math.max(apart, Math.abs(x[i] - y[i]));
            largest = Math.max(largest, Math.abs(y[i]));
        }
        double[] found = difference(trial, blocks, x, y);
        if (!(Math.abs(found[0] - apart) <= TOLERANCE * apart) || found[1] != largest) {
            throw new AssertionError(Arrays.toString(found) + " of " + count + ", not " + apart + ", " + largest);
        }
        x[trial.random().nextInt(count)] = Double.NaN;
        if (!Double.isNaN(difference(trial, blocks, x, y)[0])) {
            throw new AssertionError("NaN was not found among " + count);
        }
    }

    private static double[] difference(Trial trial, int blocks, double[] x, double[] y) {
        DeviceBuffer found = new DeviceBuffer(ElementType.I32, 2 * blocks, 0);
        trial.launchGrid(
                trial.named("difference"), blocks, 1, trial.written(x), trial.written(y), (long) x.length, found);
        double[] bits = found.read();
        int[] most = new int[2];
        for (int i = 0; i < bits.length; i++) {
            most[i % 2] = Math.max(most[i % 2], (int) bits[i]);
        }
        return new double[] {Float.intBitsToFloat(most[0]), Float.intBitsToFloat(most[1])};
    }

    /** A dense layer whose weights are the identity adds its bias; its gradients sum the columns. */
    static void bias(Trial trial) {
        int rows = trial.between(1, 300);
        int channels = trial.anyChannels();
        double[] x = trial.activations(rows * channels);
        double[] bias = trial.floats(channels);
        double[] start = trial.floats(channels);
        boolean rectified = trial.random().nextBoolean();
        DeviceBuffer dbias = trial.written(ElementType.F32, start); // gradients are added to
        Twin twin = new Twin();
        double[] identity = new double[channels * channels];
        for (int c = 0; c < channels; c++) {
            identity[c * channels + c] = 1;
        }
        Value input = twin.value(x, rows, channels);
        Value sum = twin.zeros(rows, channels);
        Value biasGradient = twin.value(start, channels);
        twin.run(new Op.Dense(input, twin.value(identity, channels, channels), twin.value(bias, channels), sum));
        twin.run(new Op.DenseWeightGradient(
                twin.zeros(rows, 1), input, twin.zeros(channels, 1), biasGradient)); // x as the outputs' gradient
        if (rectified) {
            twin.run(new Op.Relu(sum, sum));
        }

        String what = " of (" + rows + ", " + channels + ")";
        DeviceBuffer device = trial.written(x);
        int blocks = trial.between(1, 5);
        DeviceBuffer tickets = new DeviceBuffer(ElementType.I32, trial.slabs(channels), 0).zero();
        trial.launchGrid(
                trial.named("bias_gradient"),
                blocks,
                trial.slabs(channels),
                dbias,
                device,
                trial.buffer(ElementType.F32, blocks * channels),
                tickets,
                rows,
                channels);
        // Three hundred additions of sums below 100, in a tree.
        Trial.closeFloats("bias gradient" + what, twin.of(biasGradient), dbias, 1e-4);
        Trial.closeFloats("tickets" + what, new double[tickets.count()], tickets, 0);
        trial.launchGrid(
                trial.named("add_bias"),
                blocks,
                trial.slabs(channels),
                device,
                device,
                trial.written(ElementType.F32, bias),
                rows,
                channels,
                rectified ? 1 : 0);
        trial.close("add_bias" + what, twin.of(sum), device, TOLERANCE);
    }

    /** Exactly the nearest bf16, ties and infinities included, and back. */
    private static void casts(Trial trial, int count) {
        double[] values = trial.floats(count);
        double[] rounded = new double[count];
        for (int i = 0; i < count; i++) {
            if (trial.random().nextInt(3) == 0) {
                int upper = trial.random().nextInt() & 0x7F7F_0000;
                values[i] = Float.intBitsToFloat(upper | (trial.random().nextBoolean() ? 0x8000 : 0x7FFF));
            } else if (trial.random().nextInt(100) == 0) {
                values[i] = Double.NEGATIVE_INFINITY;
            }
            rounded[i] = nearestBf16((float) values[i]);
        }
        DeviceBuffer half = trial.buffer(ElementType.BF16, count);
        trial.launch("cast_f32_to_bf16", half, trial.written(ElementType.F32, values), (long) count);
        DeviceBuffer full = trial.buffer(ElementType.F32, count);
        trial.launch("cast_bf16_to_f32", full, half, (long) count);
        double[] actual = full.read();
        for (int i = 0; i < count; i++) {
            if (actual[i] != rounded[i]) { // infinities, too: their difference is no number
                throw new AssertionError(
                        "cast[" + i + "] of " + values[i] + " is " + actual[i] + ", not " + rounded[i]);
            }
        }
    }

    /** Found by comparing both neighbours, not by the trick that the kernels use. */
    private static double nearestBf16(float value) {
        if (Float.isInfinite(value)) {
            return value;
        }
        int bits = Float.floatToRawIntBits(value);
        float below = Float.intBitsToFloat(bits & 0xFFFF_0000);
        float above = Float.intBitsToFloat((bits & 0xFFFF_0000) + 0x1_0000);
        double down = Math.abs((double) value - below);
        // Beyond the largest number lies 2^128, which counts as infinity.
        double up = Math.abs((Float.isInfinite(above) ? Math.copySign(0x1p128, above) : above) - value);
        boolean even = (bits & 0x1_0000) == 0;
        return down < up || (down == up && even) ? below : above;
    }

    static void dropout(Trial trial) {
        int samples = trial.between(1, 4);
        int channels = trial.between(1, 40);
        boolean features = trial.random().nextInt(3) == 0;
        int height = features ? 1 : trial.between(1, 6);
        int width = features ? 1 : trial.between(1, 6);
        int count = samples * channels * height * width;
        double rate = 0.9 * trial.random().nextDouble();
        int key = trial.random().nextInt(1000);
        long seed = trial.random().nextLong();
        long firstSample = trial.random().nextLong() >>> 8;
        Twin twin = new Twin();
        double[] x = trial.activations(count);
        Value y = twin.zeros(samples, channels, height, width);
        twin.run(new Op.Dropout(twin.value(x, samples, channels, height, width), y, rate, key), seed, firstSample);

        int plane = height * width;
        DeviceBuffer input = trial.written(Trial.toNhwc(x, channels, plane));
        DeviceBuffer output = trial.random().nextBoolean() ? input : trial.buffer(count);
        trial.launch(
                trial.named("dropout"),
                output,
                input,
                new DeviceBuffer(ElementType.I64, 2, 0).writeLongs(seed, firstSample),
                samples,
                channels,
                plane,
                key,
                (int) (long) (rate * 0x1p32),
                (float) (1 / (1 - rate)));
        String what = "dropout of (" + samples + ", " + channels + ", " + height + ", " + width + ")";
        // Up to ten times a number below ten, rounded twice.
        trial.close(what, Trial.toNhwc(twin.of(y), channels, plane), output, 1e-5);
    }

    static void concat(Trial trial) {
        int samples = trial.between(1, 5);
        int height = trial.between(1, 6);
        int width = trial.between(1, 6);
        int plane = height * width;
        int parts = trial.between(1, 4);
        Twin twin = new Twin();
        List<Value> inputs = new ArrayList<>();
        List<Value> gradients = new ArrayList<>();
        int total = 0;
        for (int i = 0; i < parts; i++) {
            int channels = trial.random().nextInt(8) == 0 ? trial.anyChannels() : trial.between(1, 20);
            inputs.add(twin.value(trial.activations(samples * channels * plane), samples, channels, height, width));
            gradients.add(twin.zeros(samples, channels, height, width));
            total += channels;
        }
        Value whole = twin.zeros(samples, total, height, width);
        twin.run(new Op.Concat(inputs, whole));
        twin.run(new Op.ConcatGradient(whole, gradients));

        DeviceBuffer y = trial.buffer(samples * plane * total);
        int first = 0;
        for (Value input : inputs) {
            int channels = input.shape().intDim(1);
            DeviceBuffer part = trial.written(Trial.toNhwc(twin.of(input), channels, plane));
            copy(trial, y, part, samples * plane, channels, total, first, channels, 0);
            first += channels;
        }
        trial.close("concat", Trial.toNhwc(twin.of(whole), total, plane), y, 0);
        first = 0;
        for (Value gradient : gradients) {
            int channels = gradient.shape().intDim(1);
            DeviceBuffer part = trial.buffer(samples * plane * channels);
            copy(trial, part, y, samples * plane, channels, channels, 0, total, first);
            trial.close("concat gradient", Trial.toNhwc(twin.of(gradient), channels, plane), part, 0);
            first += channels;
        }
    }

    private static void copy(
            Trial trial,
            DeviceBuffer to,
            DeviceBuffer from,
            int rows,
            int channels,
            int toChannels,
            int toFirst,
            int fromChannels,
            int fromFirst) {
        trial.launchGrid(
                trial.named("copy_channels"),
                trial.between(1, 4),
                trial.slabs(channels),
                to,
                from,
                rows,
                channels,
                toChannels,
                toFirst,
                fromChannels,
                fromFirst);
    }

    static void layouts(Trial trial) {
        int batch = trial.between(1, 3);
        int channels = trial.between(1, 70);
        int plane = trial.between(1, 90);
        double[] x = trial.activations(batch * channels * plane);
        double[] expected = Trial.toNhwc(x, channels, plane);
        DeviceBuffer y = trial.buffer(x.length);
        trial.launch(trial.named("transpose"), y, trial.written(x), batch, channels, plane);
        trial.close("to NHWC", expected, y, 0);
        DeviceBuffer back = trial.buffer(x.length);
        trial.launch(trial.named("transpose"), back, y, batch, plane, channels);
        trial.close("to NCHW", x, back, 0);

        DeviceBuffer half = trial.buffer(ElementType.BF16, x.length);
        trial.launch("transpose_f32_to_bf16", half, trial.written(ElementType.F32, x), batch, channels, plane);
        double[] rounded =
                Arrays.stream(expected).map(v -> nearestBf16((float) v)).toArray();
        Trial.closeFloats("to NHWC bf16", rounded, half, 0);
        DeviceBuffer full = trial.buffer(ElementType.F32, x.length);
        trial.launch("transpose_bf16_to_f32", full, half, batch, plane, channels);
        double[] returned = Arrays.stream(x).map(v -> nearestBf16((float) v)).toArray();
        Trial.closeFloats("to NCHW float32", returned, full, 0);
    }
}
