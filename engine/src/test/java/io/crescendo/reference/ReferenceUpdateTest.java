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
}
