package io.crescendo.cli.run;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * How much workspace the batches of a plan will take on a device, found without training: programs are traced and
 * lowered, and nothing is allocated for them.
 */
public final class MemoryForecast {
    private final Backend backend;
    private final Network network;
    private final RunConfig config;
    private final long budgetBytes;
    private final boolean usesGhostBatches;
    private final Map<Integer, Long> bytes = new HashMap<>();

    public MemoryForecast(Backend backend, Network network, RunConfig config, long budgetBytes) {
        this.backend = backend;
        this.network = network;
        this.config = config;
        this.budgetBytes = budgetBytes;
        this.usesGhostBatches =
                network.trainingProgram(1, 1, 0, backend.fusions()).usesGhostBatches();
    }

    /**
     * What one batch takes.
     *
     * @param microBatch samples on the device at once
     * @param microBatches of which the last may be smaller
     * @param workspaceBytes for the largest of them
     */
    public record Share(int microBatch, int microBatches, long workspaceBytes) {
        /** For a table: {@code 2 x 400 310.5 MiB}. */
        public String text() {
            return String.format(
                    Locale.ROOT, "%d x %d  %,.1f MiB", microBatches, microBatch, workspaceBytes / (double) (1 << 20));
        }
    }

    /**
     * The share of a batch, by the same rule as training.
     *
     * @throws IllegalArgumentException if not even the smallest micro-batch fits the budget
     */
    public Share of(long batch) {
        int samples = Math.toIntExact(batch);
        int microBatch = MicroBatches.largest(
                samples,
                usesGhostBatches ? config.ghostBatch() : 1,
                budgetBytes,
                size -> workspaceBytes(Math.toIntExact(Math.min(size, samples))));
        return new Share(microBatch, MicroBatches.split(samples, microBatch).size(), workspaceBytes(microBatch));
    }

    private long workspaceBytes(int microBatch) {
        return bytes.computeIfAbsent(microBatch, size -> {
            Program program =
                    network.trainingProgram(size, config.ghostBatch(), config.labelSmoothing(), backend.fusions());
            try (LoweredProgram lowered = backend.lower(program)) {
                return WorkspacePlanner.plan(program, lowered.requirements()).totalBytes();
            }
        });
    }
}
