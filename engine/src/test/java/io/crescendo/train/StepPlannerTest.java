package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.ForwardingLoweredProgram;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.reference.ReferenceBackend;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Plans of batches that no test could allocate. */
class StepPlannerTest {
    /** An image takes 3 MiB, so 682 of them are the most that one buffer below 2 GiB holds. */
    private static final Network NETWORK = new Network(
            "large images",
            3,
            512,
            512,
            2,
            Layer.sequence(new GlobalAveragePool(), new BatchNorm("norm"), new Dense("logits", 2)));

    @Test
    void aBatchOfMoreImagesThanABufferHoldsRunsInPieces() {
        try (ReferenceBackend backend = new ReferenceBackend();
                StepPlanner planner = new StepPlanner(backend, NETWORK, 32, 0, Long.MAX_VALUE - 1)) {
            assertEquals(List.of(640), planner.plan(640).microBatches());
            assertEquals(List.of(682), planner.plan(682).microBatches());
            assertEquals(List.of(352, 331), planner.plan(683).microBatches());
            assertEquals(List.of(512, 488), planner.plan(1000).microBatches());
            assertEquals(682, planner.largestInference(5000));
        }
    }

    @Test
    void aProgramThatCannotBeCompiledIsClosed() {
        int[] open = {0};
        Backend backend = new ForwardingBackend() {
            @Override
            public LoweredProgram lower(Program program) {
                open[0]++;
                return new ForwardingLoweredProgram(super.lower(program)) {
                    @Override
                    public void compile() {
                        throw new IllegalStateException("no memory to compile in");
                    }

                    @Override
                    public void close() {
                        open[0]--;
                        super.close();
                    }
                };
            }
        };
        try (StepPlanner planner = new StepPlanner(backend, NETWORK, 32, 0, Long.MAX_VALUE - 1)) {
            PlannedProgram planned = planner.training(32);
            assertThrows(IllegalStateException.class, () -> planner.compile(planned));
        }
        assertEquals(0, open[0], "programs that are not closed");
    }

    @Test
    void aGhostBatchOfMoreImagesThanABufferHoldsIsRefused() {
        try (ReferenceBackend backend = new ReferenceBackend();
                StepPlanner planner = new StepPlanner(backend, NETWORK, 700, 0, Long.MAX_VALUE - 1)) {
            String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> planner.plan(1400))
                    .getMessage());
            assertTrue(message.contains("ghost batch of 700") && message.contains("682"), message);
        }
    }
}
