package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Feed;
import io.crescendo.backend.Rig;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.EnumSet;
import org.junit.jupiter.api.Test;

/**
 * Forward results worked out by hand. A gradient check cannot tell whether the forward formula is the right one, and
 * every other backend is compared with this one, so somebody has to know the numbers.
 */
class ForwardTest {
    /** All sums here are short, so double precision leaves no more than a few units in the 15th digit. */
    private static final double ROUNDING = 1e-13;

    private static final double[] COUNTING = {1, 2, 3, 4, 5, 6, 7, 8, 9}; // 3 rows of 3

    private interface Body {
        Value record(Tape tape, Value images);
    }

    private static Initializer of(double... numbers) {
        return (shape, key, values) -> {
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) numbers[i];
            }
        };
    }

    private static Value weight(Tape tape, String name, Shape shape, double... numbers) {
        return tape.parameter(name, shape, Role.WEIGHT, of(numbers));
    }

    private static Feed feed(int samples, double[] images, int... labels) {
        FloatBuffer pixels = direct(images.length).asFloatBuffer();
        for (int i = 0; i < images.length; i++) {
            pixels.put(i, (float) images[i]);
        }
        IntBuffer classes = direct(labels.length).asIntBuffer();
        classes.put(0, labels);
        return new Feed(pixels, classes, samples, 0, 0);
    }

    private static ByteBuffer direct(int elements) {
        return ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder());
    }

    private static double[] infer(Shape image, double[] images, Body body) {
        int samples = image.intDim(0);
        Tape tape = Tape.inference(samples);
        Value result = tape.keep(body.record(tape, tape.images(image.intDim(1), image.intDim(2), image.intDim(3))));
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
                Rig rig = new Rig(backend, tape.program(backend.fusions()), 0)) {
            rig.executable.run(feed(samples, images));
            return ((ReferenceExecutable) rig.executable).read(result);
        }
    }

    @Test
    void convolutionDoesNotFlipItsKernel() {
        double[] y = infer(
                Shape.of(1, 1, 3, 3),
                COUNTING,
                (tape, x) -> tape.conv2d(
                        x, weight(tape, "w", Shape.of(1, 1, 2, 2), 1, 10, 100, 1000), null, Window.square(2, 1, 0), 1));
        assertArrayEquals(new double[] {5421, 6532, 8754, 9865}, y, ROUNDING);
    }

    @Test
    void convolutionPadsAndStridesEachSideOnItsOwn() {
        // Two rows above, one column to the right; rows by two. The padded image is
        //   0 0 0 0 / 0 0 0 0 / 1 2 3 0 / 4 5 6 0 / 7 8 9 0
        Window window = new Window(3, 2, 2, 1, 2, 0, 0, 1);
        double[] y = infer(
                Shape.of(1, 1, 3, 3),
                COUNTING,
                (tape, x) -> tape.conv2d(
                        x,
                        weight(tape, "w", Shape.of(1, 1, 3, 2), 1, 2, 3, 4, 5, 6),
                        weight(tape, "b", Shape.of(1), 0.5),
                        window,
                        1));
        assertArrayEquals(
                new double[] {
                    5 * 1 + 6 * 2 + 0.5,
                    5 * 2 + 6 * 3 + 0.5,
                    5 * 3 + 0.5,
                    1 * 1 + 2 * 2 + 3 * 4 + 4 * 5 + 5 * 7 + 6 * 8 + 0.5,
                    1 * 2 + 2 * 3 + 3 * 5 + 4 * 6 + 5 * 8 + 6 * 9 + 0.5,
                    1 * 3 + 3 * 6 + 5 * 9 + 0.5
                },
                y,
                ROUNDING);
    }

    @Test
    void groupsSeeOnlyTheirChannels() {
        double[] y = infer(
                Shape.of(1, 4, 1, 1),
                new double[] {1, 2, 3, 4},
                (tape, x) -> tape.conv2d(
                        x, weight(tape, "w", Shape.of(2, 2, 1, 1), 1, 10, 100, 1000), null, Window.square(1, 1, 0), 2));
        assertArrayEquals(new double[] {1 + 20, 300 + 4000}, y, ROUNDING);
    }

    @Test
    void denseMultipliesRowsOfTheWeight() {
        double[] y = infer(
                Shape.of(2, 2, 1, 1),
                new double[] {1, 2, 3, 4},
                (tape, x) -> tape.dense(
                        tape.flatten(x),
                        weight(tape, "w", Shape.of(3, 2), 1, 0, 0, 1, 10, 100),
                        weight(tape, "b", Shape.of(3), 0, 0.5, 0)));
        assertArrayEquals(new double[] {1, 2.5, 210, 3, 4.5, 430}, y, ROUNDING);
    }

    @Test
    void averagePoolDoesNotCountPadding() {
        double[] y = infer(Shape.of(1, 1, 3, 3), COUNTING, (tape, x) -> tape.averagePool(x, Window.square(2, 2, 1)));
        assertArrayEquals(new double[] {1, 2.5, 5.5, 7}, y, ROUNDING);
    }

    @Test
    void maxPoolIgnoresPadding() {
        double[] negative = {-1, -2, -3, -4, -5, -6, -7, -8, -9};
        double[] y = infer(Shape.of(1, 1, 3, 3), negative, (tape, x) -> tape.maxPool(x, Window.square(2, 2, 1)));
        assertArrayEquals(new double[] {-1, -2, -4, -5}, y, ROUNDING);
    }

    @Test
    void concatPutsChannelsBehindEachOtherWithinEachSample() {
        double[] y = infer(
                Shape.of(2, 1, 1, 2),
                new double[] {1, 2, 3, 4},
                (tape, x) -> tape.concat(java.util.List.of(x, tape.scale(x, 10))));
        assertArrayEquals(new double[] {1, 2, 10, 20, 3, 4, 30, 40}, y, ROUNDING);
    }

    @Test
    void inferenceNormUsesRunningAverages() {
        double[] y = infer(
                Shape.of(1, 2, 1, 1),
                new double[] {5, 7},
                (tape, x) -> tape.batchNorm(
                        x,
                        weight(tape, "scale", Shape.of(2), 2, 3),
                        weight(tape, "shift", Shape.of(2), 0.5, -1),
                        tape.statistic("mean", Shape.of(2), Role.RUNNING_MEAN, of(1, 8)),
                        tape.statistic("variance", Shape.of(2), Role.RUNNING_VARIANCE, of(3, 0)),
                        1,
                        0.1));
        assertArrayEquals(new double[] {2 * 4 / 2.0 + 0.5, 3 * -1 / 1.0 - 1}, y, ROUNDING);
    }

    @Test
    void ghostNormTakesStatisticsPerGroupAndAveragesThemInOrder() {
        Tape tape = Tape.training(3, 2); // one group of two, one ragged group of one
        Value mean = tape.statistic("mean", Shape.of(1), Role.RUNNING_MEAN, of(10));
        Value variance = tape.statistic("variance", Shape.of(1), Role.RUNNING_VARIANCE, of(20));
        Value y = tape.keep(tape.batchNorm(
                tape.images(1, 1, 2),
                weight(tape, "scale", Shape.of(1), 2),
                weight(tape, "shift", Shape.of(1), 1),
                mean,
                variance,
                0.75,
                0.25));
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
                Rig rig = new Rig(backend, tape.program(backend.fusions()), 0)) {
            rig.executable.run(feed(3, new double[] {1, 2, 3, 6, 8, 11}));
            // Group one: mean 3, squares 4 + 1 + 0 + 9 = 14, variance 3.5; group two: mean 9.5, squares 4.5, variance
            // 2.25.
            double first = 2 / Math.sqrt(3.5 + 0.75);
            double second = 2 / Math.sqrt(2.25 + 0.75);
            assertArrayEquals(
                    new double[] {1 - 2 * first, 1 - first, 1, 1 + 3 * first, 1 - 1.5 * second, 1 + 1.5 * second},
                    ((ReferenceExecutable) rig.executable).read(y),
                    ROUNDING);
            double[] statistics = ReferenceMemory.of(rig.model.statistics()).values();
            assertEquals(0.75 * (0.75 * 10 + 0.25 * 3) + 0.25 * 9.5, statistics[(int) mean.offset()], ROUNDING);
            // Running variances are unbiased: 14 / 3 and 4.5 / 1.
            assertEquals(
                    0.75 * (0.75 * 20 + 0.25 * 14 / 3.0) + 0.25 * 4.5, statistics[(int) variance.offset()], ROUNDING);
        }
    }

    @Test
    void oneElementPerStatisticKeepsTheVarianceItself() {
        Tape tape = Tape.training(1, 1);
        Value mean = tape.statistic("mean", Shape.of(1), Role.RUNNING_MEAN, of(0));
        Value variance = tape.statistic("variance", Shape.of(1), Role.RUNNING_VARIANCE, of(1));
        Value scale = weight(tape, "scale", Shape.of(1), 1);
        Value shift = weight(tape, "shift", Shape.of(1), 0.5);
        Value y = tape.keep(tape.batchNorm(tape.images(1, 1, 1), scale, shift, mean, variance, 1e-5, 0.5));
        try (ReferenceBackend backend = new ReferenceBackend();
                Rig rig = new Rig(backend, tape.program(backend.fusions()), 0)) {
            rig.executable.run(feed(1, new double[] {7}));
            assertArrayEquals(new double[] {0.5}, ((ReferenceExecutable) rig.executable).read(y), ROUNDING);
            assertEquals(3.5, ReferenceMemory.of(rig.model.statistics()).values()[(int) mean.offset()], ROUNDING);
            assertEquals(0.5, ReferenceMemory.of(rig.model.statistics()).values()[(int) variance.offset()], ROUNDING);
        }
    }

    @Test
    void crossEntropySumsLossesAndCountsHits() {
        double q = Math.log(3);
        for (double smoothing : new double[] {0, 0.2}) {
            Tape tape = Tape.inference(3);
            Value logits = tape.flatten(tape.images(2, 1, 1));
            tape.softmaxCrossEntropy(logits, tape.labels(), smoothing);
            try (ReferenceBackend backend = new ReferenceBackend();
                    Rig rig = new Rig(backend, tape.program(backend.fusions()), 0)) {
                // Probabilities (3/4, 1/4), (1/2, 1/2), (1/4, 3/4): float32 rounds log 3, hence the wider bound.
                // The second is a tie: the first of the largest is class 0, which is not the label.
                rig.executable.run(feed(3, new double[] {q, 0, 700, 700, 0, q}, 0, 1, 0));
                double likely = -Math.log(0.75);
                double unlikely = -Math.log(0.25);
                double t = 1 - smoothing / 2; // of the label
                double expected = t * likely + (1 - t) * unlikely + Math.log(2) + t * unlikely + (1 - t) * likely;
                assertEquals(expected, backend.metrics().read().loss(), 1e-6);
                assertEquals(1, backend.metrics().read().hits());
            }
        }
    }
}
