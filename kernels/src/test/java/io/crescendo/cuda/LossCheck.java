package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.backend.StepMetrics;
import io.crescendo.reference.Twin;
import org.jspecify.annotations.NullMarked;

/** cross_entropy.cu. */
@NullMarked
final class LossCheck {
    private LossCheck() {}

    static void crossEntropy(Trial trial) {
        boolean many = trial.random().nextInt(8) == 0;
        int samples = trial.between(1, many ? 4 : 40);
        int classes = many
                ? trial.between(1000, 30_000)
                : trial.between(1, trial.random().nextBoolean() ? 12 : 200);
        double smoothing =
                trial.random().nextBoolean() ? 0 : (float) (0.5 * trial.random().nextDouble());
        boolean wantsGradient = trial.random().nextInt(4) > 0;
        double[] logits = new double[samples * classes];
        double[] labels = new double[samples];
        double height = trial.random().nextBoolean() ? 0 : 80; // exp(80) squared overflows
        for (int n = 0; n < samples; n++) {
            labels[n] = trial.random().nextInt(classes);
            for (int k = 0; k < classes; k++) {
                // Halves, so that several logits are the largest and the first of them must win.
                logits[n * classes + k] = height
                        + (k == labels[n]
                                ? 2
                                : 0.5 * Math.rint(3 * trial.random().nextGaussian()));
            }
        }
        double[] bare = logits.clone();
        Twin twin = new Twin();
        Value gradient = wantsGradient ? twin.zeros(samples, classes) : null;
        StepMetrics.Sums sums = twin.run(new Op.SoftmaxCrossEntropy(
                twin.value(bare, samples, classes), twin.value(labels, samples), gradient, smoothing));

        int blocks = trial.between(1, 6);
        DeviceBuffer input = trial.written(logits);
        DeviceBuffer output = trial.random().nextBoolean() ? input : trial.buffer(logits.length);
        DeviceBuffer loss = new DeviceBuffer(ElementType.F64, 1, 0).write(1);
        DeviceBuffer hits = new DeviceBuffer(ElementType.I64, 1, 0).write(10);
        DeviceBuffer ticket = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        trial.launchGrid(
                trial.named("cross_entropy"),
                blocks,
                1,
                input,
                trial.written(ElementType.I32, labels),
                wantsGradient ? output : null,
                loss,
                hits,
                new DeviceBuffer(ElementType.F64, 2 * blocks, 0),
                ticket,
                samples,
                classes,
                (float) smoothing);
        String what = "(" + samples + ", " + classes + ")";
        // A few float32 roundings of numbers below 20 per sample, and those of a lane that adds each 32nd class's;
        // the sum over samples is in double.
        double tolerance = 5e-6 + 1e-8 * classes;
        Trial.closeFloats("loss of " + what, new double[] {1 + sums.loss()}, loss, tolerance * samples);
        Trial.closeFloats("hits of " + what, new double[] {10 + sums.hits()}, hits, 0);
        Trial.closeFloats("ticket", new double[1], ticket, 0);
        if (gradient != null) {
            // Probabilities below one, whose exponent is known to some 1e-6.
            trial.close("gradient of " + what, twin.of(gradient), output, tolerance);
        }
    }

    /** The sums move on and start anew; once a loss or a gradient was not finite, NaN tells of it. */
    static void takeSums(Trial trial) {
        double sum = trial.random().nextGaussian() * 1e6;
        long correct = trial.random().nextLong() >>> 20;
        DeviceBuffer loss = new DeviceBuffer(ElementType.F64, 1, 0).write(sum);
        DeviceBuffer hits = new DeviceBuffer(ElementType.I64, 1, 0).writeLongs(correct);
        DeviceBuffer taken = new DeviceBuffer(ElementType.F64, 2, 0);
        DeviceBuffer flag = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        trial.launchGrid("take_sums", 1, 1, loss, hits, taken, flag);
        Trial.closeFloats("taken", new double[] {sum, Double.longBitsToDouble(correct)}, taken, 0);
        Trial.closeFloats("loss", new double[1], loss, 0);
        Trial.closeFloats("hits", new double[1], hits, 0);
        Trial.closeFloats("finite", new double[1], flag, 0);

        double bad = trial.random().nextBoolean() ? Double.NaN : Double.POSITIVE_INFINITY;
        loss.write(bad);
        trial.launchGrid("take_sums", 1, 1, loss, hits, taken, flag);
        Trial.closeFloats("a raised flag", new double[] {1}, flag, 0);
        if (Double.compare(taken.read()[0], bad) != 0) {
            throw new AssertionError("taken " + taken.read()[0] + ", not " + bad);
        }
        loss.write(sum); // of an update that follows, or beside a gradient that was not finite
        trial.launchGrid("take_sums", 1, 1, loss, hits, taken, flag);
        Trial.closeFloats("a flag that stays", new double[] {1}, flag, 0);
        if (!Double.isNaN(taken.read()[0])) {
            throw new AssertionError("with the flag raised the loss taken is " + taken.read()[0] + ", not NaN");
        }
    }
}
