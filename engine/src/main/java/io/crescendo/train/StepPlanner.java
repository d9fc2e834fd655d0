package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.data.Batch;
import io.crescendo.data.ImageShape;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.memory.MicroBatchCover;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.Recomputation;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.memory.WorkspaceReport;
import io.crescendo.nn.Network;
import io.crescendo.schedule.BatchUse;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Decides how batches are cut into micro-batches that fit a memory budget, and what is computed twice to fit it.
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

    /** Samples that evaluation runs at once even if its memory grows by them: fewer would take long. */
    private static final int FEWEST_INFERENCE = 32;

    private final Backend backend;
    private final Network network;
    private final int ghostBatch;
    private final double labelSmoothing;
    private final MicroBatchCosts costs;
    private final int granule;
    private final ImageShape images;
    /** Volatile: whoever only asks need not wait for what is being prepared. */
    private volatile long budgetBytes;

    private boolean measuresNoise;
    private @Nullable MicroBatchCover cover;
    private final Map<Variant, Long> trainingBytes = new HashMap<>();
    private final Map<Integer, Long> inferenceBytes = new HashMap<>();
    private final Map<Variant, PlannedProgram> candidates = new HashMap<>();
    private List<Recomputation> ways = List.of();

    private record Variant(int microBatch, Recomputation way) {}

    /**
     * Creates a planner with the costs that are usual on the device for such a network.
     *
     * @param ghostBatch samples per batch-norm statistic; micro-batches are multiples of it if the network has norms
     * @param budgetBytes what the workspace may hold; {@link Long#MAX_VALUE} means nine tenths of the device's memory
     */
    public StepPlanner(Backend backend, Network network, int ghostBatch, double labelSmoothing, long budgetBytes) {
        this(backend, network, ghostBatch, labelSmoothing, budgetBytes, backend.microBatchCosts()::on);
    }

    /** Creates a planner with measured costs. */
    public StepPlanner(
            Backend backend,
            Network network,
            int ghostBatch,
            double labelSmoothing,
            long budgetBytes,
            MicroBatchCosts costs) {
        this(backend, network, ghostBatch, labelSmoothing, budgetBytes, program -> costs);
    }

    private StepPlanner(
            Backend backend,
            Network network,
            int ghostBatch,
            double labelSmoothing,
            long budgetBytes,
            Function<Program, MicroBatchCosts> costs) {
        this.backend = backend;
        this.network = network;
        this.ghostBatch = ghostBatch;
        this.labelSmoothing = labelSmoothing;
        Program smallest = network.trainingProgram(1, 1, 0, backend.fusions());
        this.costs = costs.apply(smallest);
        this.granule = smallest.usesGhostBatches() ? ghostBatch : 1;
        this.images = new ImageShape(network.channels(), network.height(), network.width());
        OptionalLong device = backend.memoryBytes();
        this.budgetBytes = budgetBytes == Long.MAX_VALUE && device.isPresent()
                ? (long) (SHARE_OF_DEVICE * device.getAsLong())
                : budgetBytes;
    }

    /** What the workspace may hold. */
    public long budgetBytes() {
        return budgetBytes;
    }

    /**
     * From now on plans also say how a batch that runs whole is halved, for updates at which the gradient's noise is
     * measured.
     */
    public synchronized void measureNoise() {
        measuresNoise = true;
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
     * @throws MemoryBudgetException if not even the smallest micro-batch fits the budget
     */
    public synchronized StepPlan plan(int batch) {
        List<Integer> sizes = cover != null && cover.covers(batch) ? cover.sizes(batch) : split(batch);
        if (sizes.stream().anyMatch(size -> !fits(size))) {
            sizes = split(batch); // the cover took it for granted that a smaller micro-batch never needs more
        }
        return plan(batch, sizes, measuresNoise && sizes.size() == 1 ? halves(batch) : sizes);
    }

    /** The same plan with the memory that is known to be enough by now. */
    synchronized StepPlan refined(StepPlan plan) {
        return plan(plan.batch(), plan.microBatches(), plan.measured());
    }

    private StepPlan plan(int batch, List<Integer> sizes, List<Integer> measured) {
        long bytes = Stream.of(sizes, measured)
                .flatMap(List::stream)
                .mapToLong(this::trainingBytes)
                .max()
                .orElseThrow();
        return new StepPlan(batch, sizes, measured, bytes, way(sizes.get(0)));
    }

    /**
     * The batch in two pieces, as equal as the granule allows; whole if it is no more than a granule, which cannot be
     * cut without another answer, or where a smooth schedule is covered by sizes that the pieces are not among: each
     * would be prepared for one or two updates.
     */
    private List<Integer> halves(int batch) {
        int granules = (batch + granule - 1) / granule;
        List<Integer> halves = MicroBatches.split(batch, Math.min(batch, (granules + 1) / 2 * granule));
        boolean prepared =
                cover == null || !cover.covers(batch) || cover.sizes().containsAll(halves);
        return prepared && halves.stream().allMatch(this::fits) ? halves : List.of(batch);
    }

    /** Arena bytes of a micro-batch by the way that needs least: no budget below them can be met. */
    synchronized long leastBytes(int microBatch) {
        long least = ways().stream()
                .mapToLong(way -> trainingBytes(microBatch, way))
                .min()
                .orElseThrow();
        discardCandidates();
        return least;
    }

    /** What fills the workspace when a micro-batch runs. */
    public synchronized WorkspaceReport report(int microBatch, int entries) {
        PlannedProgram candidate = candidate(microBatch, way(microBatch));
        return WorkspaceReport.of(candidate.program(), candidate.lowered().requirements(), candidate.plan(), entries);
    }

    private List<Integer> split(int batch) {
        int largest = largestMicroBatch(batch);
        List<Integer> equal = MicroBatches.split(batch, MicroBatches.equalShare(batch, granule, largest));
        return equal.stream().allMatch(this::fits) ? equal : MicroBatches.split(batch, largest);
    }

    /**
     * The largest micro-batch of a batch, by the cheapest way: splitting costs each micro-batch's overhead, recomputing
     * costs its share of every sample.
     */
    private int largestMicroBatch(int batch) {
        int most = feedable(batch);
        if (trainingBytes(most, Recomputation.NONE) <= budgetBytes) {
            return most;
        }
        int best = 0;
        double bestCost = Double.POSITIVE_INFINITY;
        int smallest = Math.min(granule, most);
        long least = Long.MAX_VALUE;
        for (Recomputation way : ways()) {
            if (costs.overheadSamples() + batch * way.extraTime() >= bestCost) {
                continue; // more expensive even if the whole batch fits
            }
            long needed = trainingBytes(smallest, way);
            least = Math.min(least, needed);
            if (needed > budgetBytes) {
                continue;
            }
            int largest = MicroBatches.largest(
                    most, granule, budgetBytes, size -> trainingBytes(Math.toIntExact(Math.min(size, most)), way));
            int pieces = (batch + largest - 1) / largest;
            double cost = pieces * costs.overheadSamples() + batch * way.extraTime();
            if (cost < bestCost) {
                best = largest;
                bestCost = cost;
            }
        }
        if (best == 0) {
            // Ways are in the order of nominal sizes; the backend's own may lie otherwise.
            throw new MemoryBudgetException(budgetBytes, smallest, least);
        }
        return best;
    }

    /** As many samples of a batch as the host can feed at once, however much memory the device has. */
    private int feedable(int batch) {
        int most = Batch.mostSamples(images);
        if (batch <= most) {
            return batch;
        }
        if (most < granule) {
            throw new IllegalArgumentException("a ghost batch of " + granule + " images of " + images
                    + " cannot be fed at once: no more than " + most + " fit one buffer of 2 GiB; choose a ghost batch"
                    + " that does");
        }
        return most / granule * granule;
    }

    /** The cheapest way that fits, or the one that needs least. */
    private Recomputation way(int microBatch) {
        if (trainingBytes(microBatch, Recomputation.NONE) <= budgetBytes) {
            return Recomputation.NONE;
        }
        for (Recomputation way : ways()) {
            if (trainingBytes(microBatch, way) <= budgetBytes) {
                return way;
            }
        }
        return ways().stream()
                .min(Comparator.comparingLong(way -> trainingBytes(microBatch, way)))
                .orElse(Recomputation.NONE);
    }

    private boolean fits(int microBatch) {
        return trainingBytes(microBatch) <= budgetBytes;
    }

    private long trainingBytes(int microBatch) {
        return trainingBytes(microBatch, way(microBatch));
    }

    /** The same operations are released at every size, so the ways are found once. */
    private List<Recomputation> ways() {
        if (ways.isEmpty()) {
            ways = Recomputation.ways(network.trainingProgram(granule, ghostBatch, labelSmoothing, backend.fusions()));
        }
        return ways;
    }

    /** Arena bytes of a training program. */
    private long trainingBytes(int microBatch, Recomputation way) {
        return trainingBytes.computeIfAbsent(
                new Variant(microBatch, way),
                v -> candidate(microBatch, way).plan().totalBytes());
    }

    /** A program to bind. The caller closes it; asking again prepares another. */
    synchronized PlannedProgram training(int microBatch) {
        Recomputation way = way(microBatch);
        PlannedProgram program = candidate(microBatch, way);
        candidates.remove(new Variant(microBatch, way));
        return program;
    }

    /**
     * Arena bytes of evaluation beside training.
     *
     * @param samples the most to run at once
     * @param trainingBytes what training holds
     */
    public synchronized long evaluationBytes(int samples, long trainingBytes) {
        return inferenceBytes(inferenceBatch(samples, trainingBytes));
    }

    /** A program for evaluation to bind. The caller closes it. */
    synchronized PlannedProgram inference(int samples) {
        return planned(network.inferenceProgram(samples, labelSmoothing, backend.fusions()));
    }

    /**
     * How many samples evaluation runs at once: as many as need no more than training holds anyway, or
     * {@link #FEWEST_INFERENCE} where those would be fewer, and in any case what the budget allows.
     */
    synchronized int inferenceBatch(int samples, long trainingBytes) {
        int most = largestInference(samples);
        int fewest = Math.min(most, FEWEST_INFERENCE);
        return inferenceBytes(fewest) >= trainingBytes
                ? fewest
                : MicroBatches.largest(most, 1, trainingBytes, this::inferenceBytes);
    }

    /** The most samples that evaluation may run at once. */
    synchronized int largestInference(int samples) {
        try {
            return MicroBatches.largest(
                    Math.min(samples, Batch.mostSamples(images)), 1, budgetBytes, this::inferenceBytes);
        } catch (MemoryBudgetException e) {
            // Whoever raises the budget wants to train: one sample's evaluation would not be enough.
            MemoryBudgetException tooSmall =
                    new MemoryBudgetException(budgetBytes, granule, Math.max(inferenceBytes(1), leastBytes(granule)));
            tooSmall.initCause(e);
            throw tooSmall;
        }
    }

    private long inferenceBytes(long samples) {
        return inferenceBytes.computeIfAbsent(Math.toIntExact(samples), size -> {
            try (PlannedProgram program = inference(size)) {
                return program.plan().totalBytes();
            }
        });
    }

    /** Forgets programs that were tried on the way to those that fit. */
    synchronized void discardCandidates() {
        candidates.values().forEach(PlannedProgram::close);
        candidates.clear();
    }

    private PlannedProgram candidate(int microBatch, Recomputation way) {
        return candidates.computeIfAbsent(
                new Variant(microBatch, way),
                v -> planned(
                        way.of(network.trainingProgram(microBatch, ghostBatch, labelSmoothing, backend.fusions()))));
    }

    private PlannedProgram planned(Program program) {
        LoweredProgram lowered = backend.lower(program);
        WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
        return new PlannedProgram(program, lowered, plan);
    }

    /**
     * Compiles a program, and plans it anew if it turns out to need less memory than was reckoned with. One that cannot
     * be compiled is closed.
     */
    synchronized PlannedProgram compile(PlannedProgram planned) {
        Program program = planned.program();
        MemoryRequirements requirements = planned.lowered().requirements();
        long reckoned = scratchBytes(program, requirements);
        try {
            planned.lowered().compile();
        } catch (RuntimeException | Error e) {
            planned.close(); // nobody else has it any more
            throw e;
        }
        if (scratchBytes(program, requirements) == reckoned) {
            return planned;
        }
        WorkspacePlan plan = WorkspacePlanner.plan(program, requirements);
        if (plan.totalBytes() >= planned.plan().totalBytes()) {
            return planned;
        }
        int microBatch = program.microBatch();
        trainingBytes.put(new Variant(microBatch, way(microBatch)), plan.totalBytes());
        return new PlannedProgram(program, planned.lowered(), plan);
    }

    private static long scratchBytes(Program program, MemoryRequirements requirements) {
        return IntStream.range(0, program.ops().size())
                .mapToLong(requirements::scratchBytes)
                .sum();
    }

    @Override
    public synchronized void close() {
        discardCandidates();
    }
}
