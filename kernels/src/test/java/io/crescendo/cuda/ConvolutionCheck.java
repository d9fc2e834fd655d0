package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.reference.Twin;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.NullMarked;

/** convolution.cu and few_channels.cu. */
@NullMarked
final class ConvolutionCheck {
    private ConvolutionCheck() {}

    static void convolution(Trial trial) {
        convolution(trial, false);
    }

    static void fewChannels(Trial trial) {
        convolution(trial, true);
    }

    private static void convolution(Trial trial, boolean few) {
        int groups = few ? 1 : trial.between(1, 3);
        int channels = groups * trial.between(1, few ? 4 : 5);
        int filters = groups * trial.between(1, few ? 40 : 5);
        int samples = trial.between(1, 4);
        int height = trial.between(1, 8);
        int width = trial.between(1, 8);
        Window window = window(trial, height, width);
        int outHeight = (int) window.outputHeight(height);
        int outWidth = (int) window.outputWidth(width);
        int taps = window.kernelHeight() * window.kernelWidth();
        double[] x = trial.activations(samples * channels * height * width);
        double[] dy = trial.activations(samples * filters * outHeight * outWidth);
        double[] weights = trial.activations(filters * channels / groups * taps);
        double[] start = trial.floats(weights.length); // gradients are added to

        Twin twin = new Twin();
        long[] filter = {filters, channels / groups, window.kernelHeight(), window.kernelWidth()};
        Value input = twin.value(x, samples, channels, height, width);
        Value weight = twin.value(weights, filter);
        Value output = twin.zeros(samples, filters, outHeight, outWidth);
        Value outputGradient = twin.value(dy, samples, filters, outHeight, outWidth);
        Value inputGradient = twin.zeros(samples, channels, height, width);
        Value weightGradient = twin.value(start.clone(), filter);
        twin.run(new Op.Conv2d(input, weight, null, null, output, window, groups, false));
        twin.run(new Op.Conv2dInputGradient(outputGradient, weight, null, inputGradient, window, groups));
        twin.run(new Op.Conv2dWeightGradient(input, outputGradient, weightGradient, null, window, groups));

        int share = channels / groups;
        boolean added = trial.random().nextBoolean();
        DeviceBuffer deviceInput = trial.written(Trial.toNhwc(x, channels, height * width));
        DeviceBuffer deviceGradient = trial.written(Trial.toNhwc(dy, filters, outHeight * outWidth));
        DeviceBuffer deviceWeight = trial.written(Trial.toNhwc(weights, share, taps)); // KCRS to KRSC
        double[] others = trial.activations(x.length);
        DeviceBuffer dx =
                added ? trial.written(Trial.toNhwc(others, channels, height * width)) : trial.buffer(x.length);
        DeviceBuffer dw = trial.written(ElementType.F32, Trial.toNhwc(start, share, taps));
        int[] shape = {
            samples,
            channels,
            height,
            width,
            filters,
            outHeight,
            outWidth,
            window.kernelHeight(),
            window.kernelWidth(),
            window.strideHeight(),
            window.strideWidth(),
            window.padTop(),
            window.padLeft(),
            groups
        };
        double[] before = trial.activations(dy.length);
        DeviceBuffer y =
                added ? trial.written(Trial.toNhwc(before, filters, outHeight * outWidth)) : trial.buffer(dy.length);
        int[] forward = with(shape, added ? 1 : 0);
        if (few) {
            int filterBlocks = (filters + 15) / 16;
            launch(trial, "few_channels", trial.between(1, 5), filterBlocks, forward, deviceInput, deviceWeight, y);
            int tileRows = trial.between(1, outHeight + 1);
            int tileColumns = trial.between(1, outWidth + 1);
            int parts = trial.between(1, 40);
            DeviceBuffer partials = trial.buffer(ElementType.F32, parts * weights.length);
            launch(
                    trial,
                    "few_channels_weight_gradient",
                    parts,
                    filterBlocks,
                    with(shape, tileRows, tileColumns),
                    deviceInput,
                    deviceGradient,
                    partials);
            trial.launch("add_partials_f32", dw, partials, parts, weights.length);
        } else {
            launch(trial, "convolution", forward, deviceInput, deviceWeight, y);
            launch(trial, "convolution_input_gradient", forward, deviceGradient, deviceWeight, dx);
            launch(trial, "convolution_weight_gradient", shape, deviceInput, deviceGradient, dw);
        }
        String what = " of (" + samples + ", " + channels + ", " + height + ", " + width + ") to " + filters + " by "
                + window + ", groups " + groups;
        // At most 256 products of numbers about one: sums below 100, each addition rounded.
        double tolerance = 1e-4;
        if (added) {
            for (int i = 0; i < before.length; i++) {
                twin.of(output)[i] += before[i];
            }
            for (int i = 0; i < others.length; i++) {
                twin.of(inputGradient)[i] += others[i];
            }
        }
        trial.close("output" + what, Trial.toNhwc(twin.of(output), filters, outHeight * outWidth), y, tolerance);
        if (!few) {
            trial.close("dx" + what, Trial.toNhwc(twin.of(inputGradient), channels, height * width), dx, tolerance);
        }
        Trial.closeFloats("dw" + what, Trial.toNhwc(twin.of(weightGradient), share, taps), dw, tolerance);
    }

    private static Window window(Trial trial, int height, int width) {
        while (true) {
            int kernelHeight = trial.between(1, 4);
            int kernelWidth = trial.between(1, 4);
            Window window = new Window(
                    kernelHeight,
                    kernelWidth,
                    trial.between(1, 3),
                    trial.between(1, 3),
                    trial.random().nextInt(kernelHeight),
                    trial.random().nextInt(kernelWidth),
                    trial.random().nextInt(kernelHeight),
                    trial.random().nextInt(kernelWidth));
            if (window.fits(height, width)) {
                return window;
            }
        }
    }

    /** What comes before the extents. */
    private static int[] with(int[] extents, int... first) {
        return IntStream.concat(IntStream.of(first), IntStream.of(extents)).toArray();
    }

    private static void launch(Trial trial, String kernel, int[] shape, DeviceBuffer... buffers) {
        launch(trial, kernel, trial.between(1, 5), 1, shape, buffers);
    }

    private static void launch(Trial trial, String kernel, int gridX, int gridY, int[] shape, DeviceBuffer... buffers) {
        List<Object> arguments = new ArrayList<>(List.of((Object[]) buffers));
        for (int size : shape) {
            arguments.add(size);
        }
        trial.launchGrid(trial.named(kernel), gridX, gridY, arguments.toArray());
    }

    /** pad against loops that say what it means, there and back again. */
    static void margins(Trial trial) {
        int samples = trial.between(1, 4);
        int channels = trial.random().nextInt(4) == 0 ? trial.anyChannels() : trial.between(1, 20);
        int height = trial.between(1, 7);
        int width = trial.between(1, 7);
        int top = trial.between(0, 3);
        int left = trial.between(0, 3);
        int paddedHeight = height + top + trial.between(0, 3);
        int paddedWidth = width + left + trial.between(0, 3);
        double[] x = trial.activations(samples * height * width * channels);
        double[] expected = new double[samples * paddedHeight * paddedWidth * channels];
        for (int n = 0; n < samples; n++) {
            for (int h = 0; h < height; h++) {
                for (int w = 0; w < width; w++) {
                    int from = ((n * height + h) * width + w) * channels;
                    int to = ((n * paddedHeight + h + top) * paddedWidth + w + left) * channels;
                    System.arraycopy(x, from, expected, to, channels);
                }
            }
        }
        DeviceBuffer y = trial.buffer(expected.length);
        String pad = trial.named("pad");
        trial.launch(pad, y, trial.written(x), samples, channels, height, width, paddedHeight, paddedWidth, top, left);
        String what = " of (" + samples + ", " + height + ", " + width + ", " + channels + ")";
        trial.close("padding" + what, expected, y, 0);
        DeviceBuffer back = trial.buffer(x.length);
        trial.launch(pad, back, y, samples, channels, paddedHeight, paddedWidth, height, width, -top, -left);
        trial.close("cropping" + what, x, back, 0);
    }

    /** Narrow weight gradients of any number and size, each beside the next. */
    static void narrowGradients(Trial trial) {
        if (trial.type() != ElementType.BF16) {
            return; // float32 is added by the library itself
        }
        int number = trial.between(1, trial.random().nextInt(4) == 0 ? NarrowGradients.MOST_SUMMANDS : 5);
        List<DeviceBuffer> totals = new ArrayList<>();
        List<DeviceBuffer> added = new ArrayList<>();
        List<double[]> expected = new ArrayList<>();
        for (int k = 0; k < number; k++) {
            int count = trial.between(1, 600);
            double[] sums = trial.floats(count);
            double[] x = trial.activations(count);
            totals.add(trial.written(ElementType.F32, sums));
            added.add(trial.written(x));
            for (int i = 0; i < count; i++) {
                sums[i] += x[i];
            }
            expected.add(sums);
        }
        KernelLauncher.Words words = at -> NarrowGradients.words(IntStream.range(0, number)
                .mapToObj(k -> new NarrowGradients.Summand(
                        at.applyAsLong(totals.get(k)),
                        at.applyAsLong(added.get(k)),
                        totals.get(k).count()))
                .toList());
        trial.launch("accumulate_bf16", words);
        for (int k = 0; k < number; k++) {
            // One rounding of a sum below ten.
            Trial.closeFloats("gradient " + k + " of " + number, expected.get(k), totals.get(k), 1e-6);
            if (!totals.get(k).guardsHold()) {
                throw new AssertionError("accumulate_bf16 wrote outside gradient " + k + " of " + number);
            }
        }
    }
}
