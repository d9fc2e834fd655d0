package io.crescendo.train;

import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.memory.MicroBatchCover;
import io.crescendo.nn.Network;
import io.crescendo.schedule.BatchUse;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Training steps by batch size: prepared ahead for the batches that are announced, on demand for others. The announced
 * batch that comes next has its memory ready and its programs bound before it comes, where the backend can do that
 * while a step runs.
 *
 * <p>Executables are kept by micro-batch size, so batches that share a micro-batch share its executable, and all share
 * one workspace. Those that no announced batch needs any more are closed, so a run that visits a thousand batches holds
 * no more than one that visits three.
 *
 * <pre>{@code
 * steps.expect(plan.batchUses());            // compiles the first ones on another thread
 * Step step = steps.forBatch(128);           // waits for it, binds it
 * step.run(stream, epoch, position, seed, prefetchNext);
 * steps.passed(progress.samples());          // batches that do not come again may go
 * }</pre>
 *
 * <p>One thread, the training thread, calls the methods.
 */
public final class Steps implements AutoCloseable {
    /** Announced batches that are compiled ahead of the present one. */
    private static final int AHEAD = 3;

    /** What remains of the budget when the device refuses it and does not say what it has. */
    private static final double AFTER_REFUSAL = 0.75;

    private final Backend backend;
    private final ModelMemory model;
    private final StepPlanner planner;
    private final Preparation preparation;
    private final Map<Integer, Step> steps = new HashMap<>();

    /** By micro-batch, the one used longest ago first. */
    private final Map<Integer, Bound> executables = new LinkedHashMap<>(16, 0.75f, true);

    private List<BatchUse> expected = List.of();
    private @Nullable MicroBatchCover cover;
    private Consumer<Refusal> onRefusal = refused -> {};

    /** The last one, if the budget is what the device left. */
    private @Nullable DeviceMemoryException refusal;

    private record Bound(Executable executable, long workspaceBytes) {}

    /**
     * The device had less memory than the budget allowed, and training goes on in smaller pieces.
     *
     * @param batch the batch that was to be prepared
     * @param requestedBytes what the device refused
     * @param budgetBytes what the workspace may hold from now on
     */
    public record Refusal(int batch, long requestedBytes, long budgetBytes) {}

    /**
     * Creates an empty store.
     *
     * @param planner splits batches; closed with the steps
     */
    public Steps(Backend backend, ModelMemory model, StepPlanner planner) {
        this.backend = backend;
        this.model = model;
        this.planner = planner;
        this.preparation = new Preparation(planner, backend.workspace(), model);
    }

    /** Creates an empty store that splits batches by the usual costs; see {@link StepPlanner}. */
    public Steps(
            Backend backend,
            Network network,
            ModelMemory model,
            int ghostBatch,
            double labelSmoothing,
            long budgetBytes) {
        this(backend, model, new StepPlanner(backend, network, ghostBatch, labelSmoothing, budgetBytes));
    }

    /** Calls this on the training thread when the device refuses memory and the batch was split further. */
    public void onRefusal(Consumer<Refusal> listener) {
        onRefusal = listener;
    }

    /**
     * Announces the batches to come, and starts to prepare the first of them in the background.
     *
     * @param uses of a plan; those whose last sample has passed are ignored once {@link #passed} says so
     */
    public void expect(List<BatchUse> uses) {
        expect(uses, 0);
    }

    /**
     * {@link #expect(List)} for a run that goes on in the middle: batches that have passed are not prepared, but split
     * the others as they did before.
     *
     * @param samples that have passed
     */
    public void expect(List<BatchUse> uses, long samples) {
        expected = uses.stream()
                .sorted(Comparator.comparingLong(BatchUse::firstSample))
                .toList();
        cover = planner.cover(expected);
        expected = expected.stream().filter(use -> use.lastSample() >= samples).toList();
        prepareAhead(-1);
    }

    /**
     * The step for this many samples.
     *
     * @throws MemoryBudgetException if not even the smallest micro-batch fits the memory budget
     * @throws DeviceMemoryException if it fits the budget, but not what the device gives
     */
    public Step forBatch(int batch) {
        try {
            while (true) {
                try {
                    return reserved(batch);
                } catch (DeviceMemoryException e) {
                    planSmaller(batch, e);
                }
            }
        } catch (MemoryBudgetException e) {
            if (refusal == null) {
                throw e;
            }
            // Nobody stated the budget that the message speaks of.
            throw refusal.withRemedy("; " + e.need() + ", and no smaller piece helps: end what else uses the device, or"
                    + " choose a smaller network or ghost batch");
        }
    }

    private Step reserved(int batch) {
        Step step = steps.get(batch);
        if (step == null) {
            step = bind(batch);
            steps.put(batch, step);
            evict(step);
            prepareAhead(batch);
        }
        backend.workspace().reserve(step.workspaceBytes());
        return step;
    }

    /** Says that training has come this far: steps of announced batches that do not come again are released. */
    public void passed(long samples) {
        int before = expected.size();
        expected = expected.stream().filter(use -> use.lastSample() >= samples).toList();
        if (expected.size() < before) {
            Set<Integer> batches = new HashSet<>();
            expected.forEach(use -> batches.add(Math.toIntExact(use.samples())));
            release(batches);
        }
    }

    /**
     * Changes what the workspace may hold, gives memory back that is above it, and splits the batches anew.
     *
     * @param bytes at least 1
     */
    public void budgetBytes(long bytes) {
        refusal = null;
        splitAnew(bytes);
    }

    private void splitAnew(long bytes) {
        planner.budgetBytes(bytes);
        preparation.forgetPlans();
        steps.clear();
        List.copyOf(executables.entrySet()).forEach(entry -> {
            if (entry.getValue().workspaceBytes > bytes) {
                close(entry.getKey());
            }
        });
        backend.workspace()
                .shrink(executables.values().stream()
                        .mapToLong(Bound::workspaceBytes)
                        .max()
                        .orElse(0));
        cover = planner.cover(expected);
    }

    /** What the workspace may hold. */
    public long budgetBytes() {
        return planner.budgetBytes();
    }

    /**
     * Whether a batch is planned and compiled, and has its memory if it is the announced one that comes next, so that
     * {@link #forBatch} need not wait.
     */
    public boolean isPrepared(int batch) {
        return steps.containsKey(batch) || preparation.isReady(batch);
    }

    /** Micro-batch sizes that are bound at the moment. */
    public Set<Integer> boundMicroBatches() {
        return Set.copyOf(executables.keySet());
    }

    /**
     * Samples of the first micro-batch of a batch; empty if the batch was not prepared yet.
     *
     * @param measured whether of an update at which the gradient's noise is measured
     */
    OptionalInt firstMicroBatch(int batch, boolean measured) {
        Step step = steps.get(batch);
        if (step != null) {
            return OptionalInt.of(measured ? step.measured().orElse(step).microBatch() : step.microBatch());
        }
        StepPlan plan = preparation.planned(batch);
        if (plan == null) {
            return OptionalInt.empty();
        }
        return OptionalInt.of(measured ? plan.measured().get(0) : plan.microBatch());
    }

    private Step bind(int batch) {
        Preparation.Prepared prepared = preparation.await(batch);
        StepPlan plan = prepared.plan();
        Step halved = plan.measured().equals(plan.microBatches()) ? null : bind(prepared, plan.measured(), null);
        return bind(prepared, plan.microBatches(), halved);
    }

    private Step bind(Preparation.Prepared prepared, List<Integer> sizes, @Nullable Step halved) {
        List<Executable> parts = new ArrayList<>();
        for (int size : sizes) {
            parts.add(executable(size));
        }
        StepPlan plan = prepared.plan();
        return new Step(
                plan.batch(), sizes, parts, plan.recomputation(), plan.workspaceBytes(), prepared.nanos(), halved);
    }

    private Executable executable(int microBatch) {
        Bound bound = executables.get(microBatch);
        if (bound == null) {
            try (PlannedProgram program = preparation.take(microBatch)) {
                Executable ahead = preparation.takeBound(microBatch);
                bound = new Bound(
                        ahead == null ? program.lowered().bind(program.plan(), model) : ahead,
                        program.plan().totalBytes());
            } catch (DeviceMemoryException e) {
                preparation.forget(microBatch);
                throw e;
            }
            executables.put(microBatch, bound);
        }
        return bound.executable;
    }

    /** The next announced batches; after a batch that was not announced, those at the beginning. */
    private void prepareAhead(int batch) {
        int at = 0;
        while (at < expected.size() && expected.get(at).samples() != batch) {
            at++;
        }
        if (at + 1 < expected.size()) { // while this batch is trained on, and not before: it is the next one's memory
            preparation.ready(Math.toIntExact(expected.get(at + 1).samples()));
        }
        at = at == expected.size() ? 0 : at;
        expected.stream()
                .skip(at)
                .mapToInt(use -> Math.toIntExact(use.samples()))
                .filter(size -> !steps.containsKey(size))
                .limit(AHEAD)
                .forEach(preparation::ahead);
    }

    /** Where nobody says what comes, a fixed number of programs is kept, those used last. */
    private void evict(Step present) {
        Set<Integer> needed = new HashSet<>(present.allSizes());
        Set<Integer> announced = new HashSet<>();
        expected.forEach(use -> announced.add(Math.toIntExact(use.samples())));
        steps.values().stream().filter(s -> announced.contains(s.batch())).forEach(s -> needed.addAll(s.allSizes()));
        List<Integer> free = executables.keySet().stream()
                .filter(size -> !needed.contains(size))
                .toList();
        int surplus = Math.min(free.size(), executables.size() - MicroBatchCover.ALWAYS_PREPARED);
        for (int i = 0; i < surplus; i++) {
            int size = free.get(i);
            List.copyOf(steps.values()).forEach(step -> {
                if (step.allSizes().contains(size)) {
                    forget(step.batch());
                }
            });
            close(size);
        }
    }

    /** Closes what only other batches than these need. */
    private void release(Set<Integer> batches) {
        Set<Integer> sizes = new HashSet<>();
        for (Step step : List.copyOf(steps.values())) {
            if (batches.contains(step.batch())) {
                sizes.addAll(step.allSizes());
            } else {
                forget(step.batch());
            }
        }
        // Asking the planner would wait for what it is preparing.
        for (int batch : batches) {
            StepPlan plan = preparation.planned(batch);
            if (plan != null) {
                sizes.addAll(plan.sizes());
            } else if (cover != null && cover.covers(batch)) {
                sizes.addAll(cover.sizes(batch));
            }
        }
        List.copyOf(executables.keySet()).stream()
                .filter(size -> !sizes.contains(size))
                .forEach(this::close);
    }

    private void forget(int batch) {
        steps.remove(batch);
        preparation.forgetBatch(batch);
    }

    private void close(int microBatch) {
        Bound bound = executables.remove(microBatch);
        if (bound != null) {
            bound.executable.close();
        }
        preparation.forget(microBatch);
    }

    private void planSmaller(int batch, DeviceMemoryException refused) {
        refusal = refused;
        long planned = preparation.await(batch).plan().workspaceBytes();
        long most = Math.min(budgetBytes(), planned - 1);
        long budget = refused.availableBytes().isPresent()
                ? Math.min(most, refused.availableBytes().getAsLong())
                : (long) (most * AFTER_REFUSAL);
        splitAnew(Math.max(1, budget));
        onRefusal.accept(new Refusal(batch, refused.requestedBytes(), budget));
    }

    @Override
    public void close() {
        preparation.close();
        executables.values().forEach(bound -> bound.executable.close());
        executables.clear();
        planner.close();
    }
}
