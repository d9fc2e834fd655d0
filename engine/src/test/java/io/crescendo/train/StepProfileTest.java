package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Op;
import io.crescendo.backend.Backend;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.reference.ReferenceBackend;
import java.util.List;
import org.junit.jupiter.api.Test;

class StepProfileTest {
    @Test
    void everyOperationIsTimedAndCountedOnce() {
        Network network = new Network(
                "small",
                2,
                5,
                5,
                3,
                Layer.sequence(new GlobalAveragePool(), new BatchNorm("norm"), new Dense("logits", 3)));
        try (Backend backend = new ReferenceBackend()) {
            StepProfile profile = StepProfile.measure(backend, network, 2, 2, Optimizer.momentum(5e-4), 1e-3);
            List<Op> ops = profile.program().ops();
            assertEquals(ops.size(), profile.operationSeconds().size());
            assertEquals(
                    ops.size(),
                    profile.kinds().stream().mapToInt(StepProfile.Kind::count).sum());
            double kinds = profile.updateSeconds()
                    + profile.kinds().stream()
                            .mapToDouble(StepProfile.Kind::seconds)
                            .sum();
            assertEquals(profile.sumSeconds(), kinds, 1e-12);
            assertTrue(profile.stepSeconds() > 0 && profile.updateSeconds() > 0);
            assertEquals(2 / profile.stepSeconds(), profile.imagesPerSecond(), 1e-9);
            List<StepProfile.Kind> sorted = profile.kinds();
            for (int i = 1; i < sorted.size(); i++) {
                assertTrue(sorted.get(i - 1).seconds() >= sorted.get(i).seconds());
            }
        }
    }
}
