package io.crescendo.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.UpdateRule;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import org.junit.jupiter.api.Test;

class OptimizerTest {
    private static Parameter of(Role role) {
        return new Parameter("p", Shape.of(3), role, Initializer.constant(0), 0);
    }

    @Test
    void namesGiveRules() {
        assertEquals(new UpdateRule.Nesterov(), Optimizer.named("Nesterov", 0.1).rule());
        assertEquals(
                new UpdateRule.AdamW(0.999, 1e-8), Optimizer.named("adamw", 0).rule());
        assertEquals(new UpdateRule.Lars(1e-3), Optimizer.named("lars", 0).rule());
        assertEquals(
                new UpdateRule.Lamb(0.999, 1e-6), Optimizer.named("LAMB", 0).rule());
        String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> Optimizer.named("rms", 0))
                .getMessage());
        assertTrue(message.contains("'rms'") && message.contains("momentum"), message);
    }

    @Test
    void decayReachesWeightsOnlyUnlessAskedOtherwise() {
        assertTrue(DecayPolicy.WEIGHTS.test(of(Role.WEIGHT)));
        for (Role role : new Role[] {Role.BIAS, Role.NORM_SCALE, Role.NORM_SHIFT}) {
            assertFalse(DecayPolicy.WEIGHTS.test(of(role)), role.name());
            assertTrue(DecayPolicy.ALL_PARAMETERS.test(of(role)), role.name());
        }
    }

    @Test
    void clippingAndDecayAreKeptApart() {
        Optimizer clipped = Optimizer.momentum(0.1).withClipping(2).withDecay(DecayPolicy.ALL_PARAMETERS);
        assertEquals(2, clipped.clipNorm());
        assertEquals(DecayPolicy.ALL_PARAMETERS, clipped.withClipping(3).decay());
        assertEquals(Double.POSITIVE_INFINITY, Optimizer.momentum(0.1).clipNorm());
    }

    @Test
    void impossibleDecayIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> Optimizer.momentum(-1));
        assertThrows(IllegalArgumentException.class, () -> Optimizer.momentum(Double.NaN));
        assertThrows(IllegalArgumentException.class, () -> new UpdateRule.Lars(0));
        assertThrows(IllegalArgumentException.class, () -> new UpdateRule.Adam(1, 1e-8));
        assertThrows(IllegalArgumentException.class, () -> new UpdateRule.AdamW(Double.NaN, 1e-8));
        assertThrows(IllegalArgumentException.class, () -> new UpdateRule.Lamb(-0.1, 1e-6));
        assertThrows(IllegalArgumentException.class, () -> new UpdateRule.Lamb(0.999, -1e-6));
        assertThrows(IllegalArgumentException.class, () -> Optimizer.sgd(0).withClipping(0));
    }
}
