package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import org.junit.jupiter.api.Test;

/** Update rules against closed forms of what they do to a constant gradient, or to none. */
class ReferenceUpdateTest {
    private static final double ROUNDING = 1e-12; // ten updates in double, all numbers near one
    private static final double RATE = 0.125;
    private static final double M = 0.5;
    private static final double SUM = 24; // summed gradient of a batch of eight, so g = 3
    private static final double G = 3;

    /** A weight that starts at 1, after some updates with the same gradient. */
    private static double weight(UpdateRule rule, double summedGradient, double decay, boolean decayed, int updates) {
        ParameterPack.Builder builder = ParameterPack.builder();
        builder.add("w", Shape.of(1), Role.WEIGHT, Initializer.constant(1));
        ParameterPack pack = builder.build();
        try (ReferenceBackend backend = new ReferenceBackend();
                ModelMemory model = new ModelMemory(
                        backend.allocate(pack.elements()), backend.allocate(pack.elements()), backend.allocate(0));
                UpdateKernel update = backend.prepareUpdate(rule, model, pack, p -> decayed)) {
            model.weights().write(0, new float[] {1});
            for (int i = 1; i <= updates; i++) {
                model.gradients().write(0, new float[] {(float) summedGradient});
                update.apply(new UpdateScalars(RATE, M, 1.0 / 8, decay, i));
                assertEquals(0, ReferenceMemory.of(model.gradients()).values()[0]);
            }
            return ReferenceMemory.of(model.weights()).values()[0];
        }
    }

    @Test
    void sgdTakesEqualSteps() {
        assertEquals(1 - 10 * RATE * G, weight(new UpdateRule.Sgd(), SUM, 0, true, 10), ROUNDING);
    }

    @Test
    void sgdDecaysGeometrically() {
        assertEquals(Math.pow(1 - RATE * 0.5, 10), weight(new UpdateRule.Sgd(), 0, 0.5, true, 10), ROUNDING);
        assertEquals(1, weight(new UpdateRule.Sgd(), 0, 0.5, false, 10), "not decayed");
    }

    @Test
    void momentumApproachesOneOverOneMinusM() {
        // v after i updates is g (1 - mⁱ) / (1 - m).
        double expected = 1;
        double ahead = 1;
        for (int i = 1; i <= 10; i++) {
            double v = G * (1 - Math.pow(M, i)) / (1 - M);
            expected -= RATE * v;
            ahead -= RATE * (G + M * v);
        }
        assertEquals(expected, weight(new UpdateRule.Momentum(), SUM, 0, true, 10), ROUNDING);
        assertEquals(ahead, weight(new UpdateRule.Nesterov(), SUM, 0, true, 10), ROUNDING);
    }

    @Test
    void adamWalksOneRatePerUpdateOnAConstantGradient() {
        // Bias-corrected moments of a constant are the constant and its square.
        double step = RATE * G / (G + 1e-3);
        assertEquals(1 - 10 * step, weight(new UpdateRule.Adam(0.75, 1e-3), SUM, 0, true, 10), ROUNDING);
        assertEquals(1 + 10 * step, weight(new UpdateRule.Adam(0.75, 1e-3), -SUM, 0, true, 10), ROUNDING);
        assertEquals(1 - 10 * step, weight(new UpdateRule.AdamW(0.75, 1e-3), SUM, 0, true, 10), ROUNDING);
    }

    @Test
    void adamWDecaysApartFromTheMoments() {
        assertEquals(
                Math.pow(1 - RATE * 0.5, 10), weight(new UpdateRule.AdamW(0.75, 1e-3), 0, 0.5, true, 10), ROUNDING);
        // Coupled decay is divided by its own size instead: the first step is nearly the whole rate.
        assertEquals(1 - RATE * 0.5 / (0.5 + 1e-3), weight(new UpdateRule.Adam(0.75, 1e-3), 0, 0.5, true, 1), ROUNDING);
        // Decay comes first, then the step.
        double step = RATE * G / (G + 1e-3);
        assertEquals((1 - RATE * 0.5) - step, weight(new UpdateRule.AdamW(0.75, 1e-3), SUM, 0.5, true, 1), ROUNDING);
    }

    /** A tensor after one update with a gradient scale of 1/2. */
    private static double[] vector(UpdateRule rule, float[] weights, float[] sum, double decay, boolean decayed) {
        ParameterPack.Builder builder = ParameterPack.builder();
        builder.add("other", Shape.of(3), Role.WEIGHT, Initializer.constant(0)); // its norm must not count
        long offset = builder.add("w", Shape.of(weights.length), Role.WEIGHT, Initializer.constant(0))
                .offset();
        ParameterPack pack = builder.build();
        try (ReferenceBackend backend = new ReferenceBackend();
                ModelMemory model = new ModelMemory(
                        backend.allocate(pack.elements()), backend.allocate(pack.elements()), backend.allocate(0));
                UpdateKernel update = backend.prepareUpdate(rule, model, pack, p -> decayed)) {
            model.weights().write(0, new float[] {100, 200, 300});
            model.gradients().write(0, new float[] {7, 7, 7});
            model.weights().write(offset, weights);
            model.gradients().write(offset, sum);
            update.apply(new UpdateScalars(RATE, M, 0.5, decay, 1));
            double[] all = ReferenceMemory.of(model.weights()).values();
            return java.util.Arrays.copyOfRange(all, (int) offset, (int) offset + weights.length);
        }
    }

    private static void assertVector(double first, double second, double... actual) {
        assertEquals(first, actual[0], ROUNDING);
        assertEquals(second, actual[1], ROUNDING);
    }

    @Test
    void longGradientsAreShortened() {
        ParameterPack.Builder builder = ParameterPack.builder();
        builder.add("a", Shape.of(1), Role.WEIGHT, Initializer.constant(0));
        builder.add("b", Shape.of(1), Role.WEIGHT, Initializer.constant(0));
        ParameterPack pack = builder.build();
        for (double clipNorm : new double[] {2.5, 5, 100}) {
            try (ReferenceBackend backend = new ReferenceBackend();
                    ModelMemory model = new ModelMemory(
                            backend.allocate(pack.elements()), backend.allocate(pack.elements()), backend.allocate(0));
                    UpdateKernel update = backend.prepareUpdate(new UpdateRule.Sgd(), model, pack, p -> true)) {
                long b = pack.parameters().get(1).offset();
                model.gradients().write(0, new float[] {6});
                model.gradients().write(b, new float[] {8}); // halved: (3, 4), of length 5 over both tensors
                update.apply(new UpdateScalars(RATE, M, 0.5, 0, 1, clipNorm));
                double factor = Math.min(1, clipNorm / 5);
                double[] weights = ReferenceMemory.of(model.weights()).values();
                assertVector(-RATE * 3 * factor, -RATE * 4 * factor, weights[0], weights[(int) b]);
            }
        }
    }

    @Test
    void larsMovesATensorByItsOwnLength() {
        float[] w = {3, 4}; // length 5
        float[] sum = {12, 16}; // g = (6, 8), length 10
        UpdateRule lars = new UpdateRule.Lars(0.25);
        // Local rate 0.25 * 5 / 10 = 1/8, so v = (0.75, 1).
        assertVector(3 - RATE * 0.75, 4 - RATE, vector(lars, w, sum, 0, true));
        // With decay 2: 0.25 * 5 / (10 + 10) = 1/16 of g + 2 w = (12, 16).
        assertVector(3 - RATE * 0.75, 4 - RATE, vector(lars, w, sum, 2, true));
        // What does not decay moves as under momentum.
        assertVector(3 - RATE * 6, 4 - RATE * 8, vector(lars, w, sum, 2, false));
    }

    @Test
    void larsWithoutLengthOrGradientStaysFinite() {
        UpdateRule lars = new UpdateRule.Lars(0.25);
        assertVector(-RATE * 6, -RATE * 8, vector(lars, new float[2], new float[] {12, 16}, 0.5, true));
        assertVector(3, 4, vector(lars, new float[] {3, 4}, new float[2], 0, true));
        // Decay alone: 0.25 * 5 / (0 + 2 * 5) = 1/8 of 2 w.
        assertVector(3 - RATE * 0.75, 4 - RATE, vector(lars, new float[] {3, 4}, new float[2], 2, true));
        assertVector(0, 0, vector(lars, new float[2], new float[2], 2, true));
    }

    @Test
    void lambStepsByTheTensorsLength() {
        float[] w = {3, 4};
        float[] sum = {12, -16};
        UpdateRule lamb = new UpdateRule.Lamb(0.75, 0);
        // Adam's first step is the sign, of length root 2; the tensor moves 5 rates in that direction.
        double side = 5 / Math.sqrt(2);
        assertVector(3 - RATE * side, 4 + RATE * side, vector(lamb, w, sum, 0, true));
        // u = (1, -1) + 1 * (3, 4) = (4, 3), length 5, so r = 1.
        assertVector(3 - RATE * 4, 4 - RATE * 3, vector(lamb, w, sum, 1, true));
        assertVector(3 - RATE, 4 + RATE, vector(lamb, w, sum, 1, false));
    }

    @Test
    void lambWithoutLengthOrGradientStaysFinite() {
        UpdateRule lamb = new UpdateRule.Lamb(0.75, 1e-3);
        double step = RATE * 6 / (6 + 1e-3);
        assertVector(-step, -step, vector(lamb, new float[2], new float[] {12, 12}, 0.5, true));
        assertVector(3, 4, vector(lamb, new float[] {3, 4}, new float[2], 0, true));
    }
}
