package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.memory.Recomputation;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.models.FashionCnn;
import io.crescendo.models.WideResNet;
import io.crescendo.nn.Network;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/**
 * Every network that ships, in the sizes that a processor's libraries ask for: they are not as round as nominal ones.
 */
class WorkspaceTest {
    private static final double MOST_WASTE = 1.03;
    private static final int GHOST_BATCH = 128;

    @Test
    void smallNetworksWasteLittleAtEveryBatch() {
        atBatches(FashionCnn.of(1, 28, 28, 10), 1);
        atBatches(WideResNet.of(10, 1, 1, 28, 28, 10), 1);
    }

    /** At every third and every eleventh batch: planning the large one takes longest of all. */
    @Test
    void largeNetworksWasteLittle() {
        atBatches(WideResNet.of(10, 2, 3, 32, 32, 10), 3);
        atBatches(WideResNet.of(16, 4, 3, 32, 32, 10), 3);
        atBatches(WideResNet.of(28, 10, 3, 32, 32, 100), 11);
    }

    private static void atBatches(Network network, int stride) {
        Assumptions.assumeTrue(
                Backends.providers().stream()
                        .anyMatch(provider -> provider.name().equals("cpu")
                                && provider.availability().available()),
                "no oneDNN here");
        try (Backend backend = Backends.open("cpu", BackendOptions.DEFAULT)) {
            for (int batch = 1; batch <= 40; batch += stride) {
                Program program = network.trainingProgram(batch, GHOST_BATCH, 0, backend.fusions());
                String what = network.name() + ", batch " + batch + ", recomputing ";
                for (Recomputation way : Recomputation.ways(program)) {
                    check(what + way.name(), backend, way.of(program));
                }
            }
        }
    }

    private static void check(String what, Backend backend, Program program) {
        try (LoweredProgram lowered = backend.lower(program)) {
            WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
            double ratio = (double) plan.totalBytes() / plan.lowerBoundBytes();
            assertTrue(ratio >= 1 && ratio <= MOST_WASTE, what + ": " + ratio);
        }
    }
}
