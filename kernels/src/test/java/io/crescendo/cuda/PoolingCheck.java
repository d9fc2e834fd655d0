package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.reference.Twin;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.NullMarked;

/** pooling.cu. */
@NullMarked
final class PoolingCheck {
    // Up to 64 additions of numbers about one; all exact but the division where the numbers are halves.
    private static final double TOLERANCE = 1e-5;

    private PoolingCheck() {}

    static void pooling(Trial trial) {
        int samples = trial.between(1, 3);
        int channels = trial.random().nextInt(4) == 0 ? trial.anyChannels() : trial.between(1, 20);
        int height = trial.between(1, 8);
        int width = trial.between(1, 8);
        Window window = window(trial, height, width);
        int outHeight = (int) window.outputHeight(height);
        int outWidth = (int) window.outputWidth(width);
        int plane = height * width;
        int outPlane = outHeight * outWidth;
        double[] x = new double[samples * channels * plane];
        for (int i = 0; i < x.length; i++) {
            x[i] = 0.5 * Math.rint(2 * trial.random().nextGaussian()); // equals in many windows: the first must win
        }
        double[] lost = x.clone();
        for (int i = trial.between(0, 3); i < x.length; i += trial.between(1, 40)) {
            lost[i] = Double.NaN;
        }
        double[] dy = trial.activations(samples * channels * outPlane);
        String what = " of (" + samples + ", " + channels + ", " + height + ", " + width + ") by " + window;

        Twin twin = new Twin();
        Value input = twin.value(x, samples, channels, height, width);
        Value outputGradient = twin.value(dy, samples, channels, outHeight, outWidth);
        Value max = twin.zeros(samples, channels, outHeight, outWidth);
        Value indices = twin.zeros(samples, channels, outHeight, outWidth);
        Value maxGradient = twin.zeros(samples, channels, height, width);
        Value average = twin.zeros(samples, channels, outHeight, outWidth);
        Value averageGradient = twin.zeros(samples, channels, height, width);
        twin.run(new Op.MaxPool(input, max, indices, window));
        twin.run(new Op.MaxPoolGradient(outputGradient, indices, maxGradient, window));
        twin.run(new Op.AveragePool(input, average, window));
        twin.run(new Op.AveragePoolGradient(outputGradient, averageGradient, window));

        int[] shape = {
            samples,
            channels,
            height,
            width,
            outHeight,
            outWidth,
            window.kernelHeight(),
            window.kernelWidth(),
            window.strideHeight(),
            window.strideWidth(),
            window.padTop(),
            window.padLeft()
        };
        DeviceBuffer deviceInput = trial.written(Trial.toNhwc(x, channels, plane));
        DeviceBuffer deviceGradient = trial.written(Trial.toNhwc(dy, channels, outPlane));
        DeviceBuffer y = trial.buffer(dy.length);
        DeviceBuffer winners = trial.buffer(ElementType.I32, dy.length);
        DeviceBuffer dx = trial.buffer(x.length);
        launch(trial, "max_pool", shape, deviceInput, y, winners);
        trial.close("max" + what, Trial.toNhwc(twin.of(max), channels, outPlane), y, 0);
        Trial.closeFloats("winners" + what, Trial.toNhwc(twin.of(indices), channels, outPlane), winners, 0);
        launch(trial, "max_pool_gradient", shape, deviceGradient, winners, dx);
        trial.close("max gradient" + what, Trial.toNhwc(twin.of(maxGradient), channels, plane), dx, TOLERANCE);

        Value spoilt = twin.value(lost, samples, channels, height, width);
        twin.run(new Op.MaxPool(spoilt, max, indices, window));
        launch(trial, "max_pool", shape, trial.written(Trial.toNhwc(lost, channels, plane)), y, winners);
        trial.closeOrNaN("max with NaN" + what, Trial.toNhwc(twin.of(max), channels, outPlane), y, 0);
        Trial.closeFloats("winners with NaN" + what, Trial.toNhwc(twin.of(indices), channels, outPlane), winners, 0);

        launch(trial, "average_pool", shape, deviceInput, y);
        trial.close("average" + what, Trial.toNhwc(twin.of(average), channels, outPlane), y, TOLERANCE);
        launch(trial, "average_pool_gradient", shape, deviceGradient, dx);
        trial.close("average gradient" + what, Trial.toNhwc(twin.of(averageGradient), channels, plane), dx, TOLERANCE);
    }

    /** A window that fits, in a quarter of the trials one over the whole image. */
    private static Window window(Trial trial, int height, int width) {
        if (trial.random().nextInt(4) == 0) {
            return new Window(height, width, 1, 1, 0, 0, 0, 0);
        }
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

    private static void launch(Trial trial, String kernel, int[] shape, DeviceBuffer... buffers) {
        List<Object> arguments = new ArrayList<>(List.of((Object[]) buffers));
        for (int size : shape) {
            arguments.add(size);
        }
        trial.launchGrid(trial.named(kernel), trial.between(1, 4), trial.slabs(shape[1]), arguments.toArray());
    }
}
