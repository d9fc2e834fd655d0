package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.backend.StepMetrics;
import io.crescendo.reference.Twin;
import java.util.Arrays;
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
        if (smoothing == 0 && trial.random().nextInt(3) == 0) { // classes that cannot be
            for (int i = trial.between(0, 2); i < logits.length; i += trial.between(1, 50)) {
                if (i % classes != labels[i / classes]) {
                    logits[i] = Double.NEGATIVE_INFINITY;
                }
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

    /**
     * The sums move on and start anew, each to its own place; once a loss or a gradient was not finite, NaN tells of
     * it.
     */
    static void takeSums(Trial trial) {
        int places = trial.between(1, 4);
        long earlier = trial.random().nextLong() >>> 2;
        Taking taking = new Taking(trial, places, earlier);
        for (int i = 0; i < places + 2; i++) {
            double sum = trial.random().nextGaussian() * 1e6;
            taking.take(sum, sum, 0);
        }
        double bad = trial.random().nextBoolean() ? Double.NaN : Double.POSITIVE_INFINITY;
        taking.take(bad, bad, 1);
        // Of an update that follows, or beside a gradient that was not finite.
        taking.take(trial.random().nextGaussian(), Double.NaN, 1);
    }

    /** One device's sums, again and again. */
    private static final class Taking {
        private static final int WORDS = 4; // of TakenSums

        private final Trial trial;
        private final int places;
        private final DeviceBuffer loss = new DeviceBuffer(ElementType.F64, 1, 0);
        private final DeviceBuffer hits = new DeviceBuffer(ElementType.I64, 1, 0);
        private final DeviceBuffer flag = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        private final DeviceBuffer count = new DeviceBuffer(ElementType.I64, 1, 0);
        private final DeviceBuffer ring;
        private long taken;

        private Taking(Trial trial, int places, long taken) {
            this.trial = trial;
            this.places = places;
            this.taken = taken;
            this.ring = new DeviceBuffer(ElementType.F64, WORDS * places, 0);
            count.writeLongs(taken);
        }

        private void take(double sum, double expected, int raised) {
            long correct = trial.random().nextLong() >>> 20;
            loss.write(sum);
            hits.writeLongs(correct);
            long[] before = ring.longs();
            trial.launchGrid("take_sums", 1, 1, loss, hits, flag, count, ring, places);
            int at = WORDS * (int) (taken % places);
            taken++;
            long[] after = ring.longs();
            if (Double.compare(Double.longBitsToDouble(after[at]), expected) != 0) {
                throw new AssertionError(
                        "of " + sum + " " + Double.longBitsToDouble(after[at]) + " is taken, not " + expected);
            }
            before[at] = after[at];
            before[at + 1] = correct;
            before[at + 2] = taken;
            if (!Arrays.equals(before, after) || count.longs()[0] != taken) {
                throw new AssertionError("take " + taken + " leaves " + Arrays.toString(after) + ", not "
                        + Arrays.toString(before) + ", and counts " + count.longs()[0]);
            }
            Trial.closeFloats("loss", new double[1], loss, 0);
            Trial.closeFloats("hits", new double[1], hits, 0);
            Trial.closeFloats("the flag", new double[] {raised}, flag, 0);
        }
    }
}
