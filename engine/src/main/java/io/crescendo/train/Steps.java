package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Training steps by batch size: traced, planned and prepared when a size is new, looked up ever after.
 *
 * <p>Executables are kept by micro-batch size, so batches that share a micro-batch share its executable, and all share
 * one workspace.
 */
public final class Steps implements AutoCloseable {
    private final Backend backend;
    private final Network network;
    private final ModelMemory model;
    private final int ghostBatch;
    private final double labelSmoothing;
    private final long budgetBytes;
    private final boolean usesGhostBatches;
    private final Map<Integer, Planned> candidates = new HashMap<>();
    private final Map<Integer, Long> bytes = new HashMap<>();
    private final Map<Integer, Executable> executables = new HashMap<>();
    private final Map<Integer, Step> steps = new HashMap<>();

    private record Planned(LoweredProgram lowered, WorkspacePlan plan) {}

    /**
     * Creates an empty store.
     *
     * @param ghostBatch samples per batch-norm statistic; micro-batches are multiples of it if the network has norms
     * @param budgetBytes what the workspace may hold
     */
    public Steps(
            Backend backend,
            Network network,
            ModelMemory model,
            int ghostBatch,
            double labelSmoothing,
            long budgetBytes) {
        this.backend = backend;
        this.network = network;
        this.model = model;
        this.ghostBatch = ghostBatch;
        this.labelSmoothing = labelSmoothing;
        this.budgetBytes = budgetBytes;
        this.usesGhostBatches =
                network.trainingProgram(1, 1, 0, backend.fusions()).usesGhostBatches();
    }

    /** The step for this many samples. */
    public Step forBatch(int batch) {
        return steps.computeIfAbsent(batch, this::prepare);
    }

    /** Samples of the first micro-batch of a batch, or all of them if the batch was not prepared yet. */
    int firstMicroBatch(int batch) {
        Step step = steps.get(batch);
        return step == null ? batch : step.microBatch();
    }

    private Step prepare(int batch) {
        int microBatch = MicroBatches.largest(
                batch,
                usesGhostBatches ? ghostBatch : 1,
                budgetBytes,
                size -> workspaceBytes(Math.toIntExact(Math.min(size, batch))));
        List<Integer> sizes = MicroBatches.split(batch, microBatch);
        List<Executable> parts = sizes.stream().map(this::executable).toList();
        long largest = sizes.stream().mapToLong(this::workspaceBytes).max().orElseThrow();
        discardCandidates();
        return new Step(batch, sizes, parts, largest);
    }

    private Executable executable(int microBatch) {
        return executables.computeIfAbsent(microBatch, size -> {
            Planned p = plan(size);
            return p.lowered.bind(p.plan, model);
        });
    }

    private long workspaceBytes(int microBatch) {
        return bytes.computeIfAbsent(microBatch, size -> plan(size).plan.totalBytes());
    }

    private Planned plan(int microBatch) {
        return candidates.computeIfAbsent(microBatch, size -> {
            Program program = network.trainingProgram(size, ghostBatch, labelSmoothing, backend.fusions());
            LoweredProgram lowered = backend.lower(program);
            return new Planned(lowered, WorkspacePlanner.plan(program, lowered.requirements()));
        });
    }

    /** Sizes that were tried on the way to one that fits the budget need not stay prepared. */
    private void discardCandidates() {
        candidates.values().forEach(p -> p.lowered.close());
        candidates.clear();
    }

    @Override
    public void close() {
        executables.values().forEach(Executable::close);
        discardCandidates();
    }
}
