package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.memory.MicroBatchCover;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import io.crescendo.schedule.BatchUse;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Decides how batches are cut into micro-batches that fit a memory budget.
 *
 * <p>Programs are traced, lowered and planned, and nothing is allocated for them, so the same class answers
 * {@code crescendo plan --memory} and serves training.
 *
 * <pre>{@code
 * try (StepPlanner planner = new StepPlanner(backend, network, 128, 0, 8L << 30)) {
 *     planner.plan(3200).microBatches();   // [1664, 1536] if no more than that fits 8 GiB
 * }
 * }</pre>
 *
 * <p>Thread-safe: one call at a time, which also keeps the backend's preparing to one thread at a time.
 */
public final class StepPlanner implements AutoCloseable {
    /** Share of a device's memory that the workspace may take where no budget is stated; packs and code need room. */
    private static final double SHARE_OF_DEVICE = 0.9;

    private final Backend backend;
    private final Network network;
    private final int ghostBatch;
    private final double labelSmoothing;
    private final MicroBatchCosts costs;
    private final int granule;
    private long budgetBytes;
    private @Nullable MicroBatchCover cover;
    private final Map<Integer, Long> trainingBytes = new HashMap<>();
    private final Map<Integer, PlannedProgram> candidates = new HashMap<>();

    /**
     * Creates a planner with the usual costs.
     *
     * @param ghostBatch samples per batch-norm statistic; micro-batches are multiples of it if the network has norms
     * @param budgetBytes what the workspace may hold; {@link Long#MAX_VALUE} means most of the device's memory
     */
    public StepPlanner(Backend backend, Network network, int ghostBatch, double labelSmoothing, long budgetBytes) {
        this(backend, network, ghostBatch, labelSmoothing, budgetBytes, MicroBatchCosts.TYPICAL);
    }

    /** Creates a planner with measured costs. */
    public StepPlanner(
            Backend backend,
            Network network,
            int ghostBatch,
            double labelSmoothing,
            long budgetBytes,
            MicroBatchCosts costs) {
        this.backend = backend;
        this.network = network;
        this.ghostBatch = ghostBatch;
        this.labelSmoothing = labelSmoothing;
        this.costs = costs;
        Program smallest = network.trainingProgram(1, 1, 0, backend.fusions());
        this.granule = smallest.usesGhostBatches() ? ghostBatch : 1;
        OptionalLong device = backend.memoryBytes();
        this.budgetBytes = budgetBytes == Long.MAX_VALUE && device.isPresent()
                ? (long) (SHARE_OF_DEVICE * device.getAsLong())
                : budgetBytes;
    }

    /** What the workspace may hold. */
    public synchronized long budgetBytes() {
        return budgetBytes;
    }

    /**
     * Changes what the workspace may hold. Batches to come are split anew by {@link #cover} or one by one.
     *
     * @param bytes at least 1
     */
    public synchronized void budgetBytes(long bytes) {
        if (bytes < 1) {
            throw new IllegalArgumentException("the memory budget must be positive, but is " + bytes);
        }
        budgetBytes = bytes;
        cover = null;
    }

    /**
     * Covers the batches of a plan by few micro-batch sizes, if they are many; see {@link MicroBatchCover}. Without
     * this each batch is split by itself.
     *
     * @return what was chosen, or null if the batches are few
     */
    public synchronized @Nullable MicroBatchCover cover(List<BatchUse> uses) {
        cover = null;
        if (uses.size() > MicroBatchCover.ALWAYS_PREPARED) {
            int largest = Math.toIntExact(
                    uses.stream().mapToLong(BatchUse::samples).max().orElse(1));
            List<MicroBatchCover.Demand> demands = uses.stream()
                    .map(use -> new MicroBatchCover.Demand(Math.toIntExact(use.samples()), use.updates()))
                    .toList();
            cover = MicroBatchCover.of(demands, granule, largestMicroBatch(largest), costs);
            discardCandidates();
        }
        return cover;
    }

    /**
     * The plan for one batch.
     *
     * @throws IllegalArgumentException if not even the smallest micro-batch fits the budget
     */
    public synchronized StepPlan plan(int batch) {
        List<Integer> sizes = cover != null && cover.covers(batch) ? cover.sizes(batch) : split(batch);
        if (sizes.stream().anyMatch(size -> trainingBytes(size) > budgetBytes)) {
            sizes = split(batch); // the cover took it for granted that a smaller micro-batch never needs more
        }
        return new StepPlan(
                batch,
                sizes,
                sizes.stream().mapToLong(this::trainingBytes).max().orElseThrow());
    }

    private List<Integer> split(int batch) {
        int largest = largestMicroBatch(batch);
        List<Integer> equal = MicroBatches.split(batch, MicroBatches.equalShare(batch, granule, largest));
        return equal.stream().allMatch(size -> trainingBytes(size) <= budgetBytes)
                ? equal
                : MicroBatches.split(batch, largest);
    }

    private int largestMicroBatch(int batch) {
        return MicroBatches.largest(
                batch, granule, budgetBytes, size -> trainingBytes(Math.toIntExact(Math.min(size, batch))));
    }

    /** Arena bytes of a training program. */
    private long trainingBytes(int microBatch) {
        return trainingBytes.computeIfAbsent(
                microBatch, size -> candidate(size).plan().totalBytes());
    }

    /** A program to bind. The caller closes it; asking again prepares another. */
    synchronized PlannedProgram training(int microBatch) {
        PlannedProgram program = candidate(microBatch);
        candidates.remove(microBatch);
        return program;
    }

    /** A program for evaluation to bind. The caller closes it. */
    synchronized PlannedProgram inference(int samples) {
        return planned(network.inferenceProgram(samples, labelSmoothing, backend.fusions()));
    }

    /** The most samples that evaluation may run at once. */
    synchronized int largestInference(int samples) {
        return MicroBatches.largest(samples, 1, budgetBytes, size -> {
            try (PlannedProgram program = inference(Math.toIntExact(size))) {
                return program.plan().totalBytes();
            }
        });
    }

    /** Forgets programs that were tried on the way to those that fit. */
    synchronized void discardCandidates() {
        candidates.values().forEach(PlannedProgram::close);
        candidates.clear();
    }

    private PlannedProgram candidate(int microBatch) {
        return candidates.computeIfAbsent(
                microBatch,
                size -> planned(network.trainingProgram(size, ghostBatch, labelSmoothing, backend.fusions())));
    }

    private PlannedProgram planned(Program program) {
        LoweredProgram lowered = backend.lower(program);
        WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
        return new PlannedProgram(program, lowered, plan);
    }

    /** Runs something that prepares on the backend, so that no other thread does the same. */
    synchronized void compile(PlannedProgram program) {
        program.lowered().compile();
    }

    @Override
    public synchronized void close() {
        discardCandidates();
    }
}
