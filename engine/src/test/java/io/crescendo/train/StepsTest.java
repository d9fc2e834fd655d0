package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.ForwardingLoweredProgram;
import io.crescendo.backend.ForwardingWorkspace;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.RefusingBackend;
import io.crescendo.backend.Workspace;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.memory.MicroBatchCover;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.BatchUse;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class StepsTest {
    private static final Dataset DATA = new RandomDataset(120, 3, new ImageShape(2, 6, 5), 11);
    private static final Network NETWORK = new Network(
            "toy",
            2,
            6,
            5,
            3,
            Layer.sequence(
                    new Conv2d("conv", 5, Window.square(3, 1, 1)),
                    new BatchNorm("norm"),
                    new Relu(),
                    new Conv2d("conv2", 7, Window.square(3, 2, 1)),
                    new BatchNorm("norm2"),
                    new Relu(),
                    new GlobalAveragePool(),
                    new Dense("logits", 3)));

    /** Notes on which thread each micro-batch was lowered. */
    private static class Watched extends ForwardingBackend {
        final Map<Integer, String> lowered = new ConcurrentHashMap<>();
        final Set<Integer> compiled = ConcurrentHashMap.newKeySet();

        @Override
        public LoweredProgram lower(Program program) {
            lowered.put(program.microBatch(), Thread.currentThread().getName());
            LoweredProgram inner = super.lower(program);
            return new ForwardingLoweredProgram(inner) {
                @Override
                public void compile() {
                    compiled.add(program.microBatch());
                    super.compile();
                }
            };
        }

        @Override
        public OptionalLong memoryBytes() {
            return OptionalLong.empty();
        }
    }

    private static ModelMemory model(Backend backend) {
        return ModelMemory.allocate(backend, NETWORK.inferenceProgram(1, 0, backend.fusions()), 1);
    }

    private static BatchUse use(int samples, long from, long to) {
        return new BatchUse(samples, 10, from, to);
    }

    /** What a backend reckoned with before it knew better is neither planned nor held. */
    @Test
    void memoryThatACompiledProgramDoesNotNeedIsNotTaken() throws InterruptedException {
        long exact;
        try (Backend backend = new ForwardingBackend();
                ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            exact = steps.forBatch(32).workspaceBytes();
        }
        try (Backend backend = new Cautious();
                ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            try (StepPlanner planner = new StepPlanner(backend, NETWORK, 4, 0, Long.MAX_VALUE)) {
                assertTrue(planner.plan(32).workspaceBytes() > exact + Cautious.MARGIN / 2);
            }
            steps.expect(List.of(use(8, 0, 79), use(32, 80, 400)));
            while (!steps.isPrepared(32)) {
                Thread.sleep(1);
            }
            steps.forBatch(8);
            assertEquals(exact, steps.forBatch(32).workspaceBytes());
            assertEquals(exact, backend.workspace().peakBytes());
        }
    }

    /** Reckons with scratch memory for each operation until a program is compiled. */
    private static final class Cautious extends ForwardingBackend {
        static final long MARGIN = 1 << 20;

        @Override
        public LoweredProgram lower(Program program) {
            AtomicLong margin = new AtomicLong(MARGIN);
            LoweredProgram inner = super.lower(program);
            return new ForwardingLoweredProgram(inner) {
                @Override
                public MemoryRequirements requirements() {
                    MemoryRequirements known = inner.requirements();
                    return new MemoryRequirements() {
                        @Override
                        public long bytes(Value value) {
                            return known.bytes(value);
                        }

                        @Override
                        public long scratchBytes(int opIndex) {
                            return known.scratchBytes(opIndex) + margin.get();
                        }

                        @Override
                        public boolean mayOverwrite(int opIndex, Value input) {
                            return known.mayOverwrite(opIndex, input);
                        }
                    };
                }

                @Override
                public void compile() {
                    margin.set(0);
                    super.compile();
                }
            };
        }
    }

    @Test
    void memoryOfTheNextBatchAloneIsMadeReady() throws InterruptedException {
        Map<Long, Integer> asked = new ConcurrentHashMap<>();
        Backend backend = new ForwardingBackend() {
            @Override
            public Workspace workspace() {
                return new ForwardingWorkspace(super.workspace()) {
                    @Override
                    public boolean prepare(long bytes) {
                        assertEquals("crescendo-prepare", Thread.currentThread().getName());
                        return asked.merge(bytes, 1, Integer::sum) < 3; // two pieces more
                    }
                };
            }
        };
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            steps.expect(List.of(use(8, 0, 79), use(32, 80, 400), use(40, 401, 900)));
            while (!steps.isPrepared(40)) {
                Thread.sleep(1);
            }
            assertEquals(Map.of(), asked, "nothing is trained on yet");
            steps.forBatch(8);
            while (!asked.containsValue(3)) {
                Thread.sleep(1);
            }
            long ofNext = steps.forBatch(32).workspaceBytes();
            while (asked.size() < 2) {
                Thread.sleep(1);
            }
            long ofLast = steps.forBatch(40).workspaceBytes();
            assertEquals(Set.of(ofNext, ofLast), asked.keySet());
            assertEquals(3, asked.get(ofNext), "asked as long as there was more to do");
        }
    }

    /** It is said to whoever asks for the batch, and the thread goes on with others. */
    @Test
    void aBatchThatCannotBePreparedStopsNoOther() throws InterruptedException {
        Set<Integer> refused = ConcurrentHashMap.newKeySet();
        refused.add(32);
        Watched backend = new Watched() {
            @Override
            public LoweredProgram lower(Program program) {
                if (refused.contains(program.microBatch())) {
                    throw new IllegalStateException("not " + program.microBatch());
                }
                return super.lower(program);
            }
        };
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            steps.expect(List.of(use(8, 0, 79), use(32, 80, 400), use(40, 401, 900)));
            steps.forBatch(8);
            while (!steps.isPrepared(40)) {
                Thread.sleep(1);
            }
            assertEquals("crescendo-prepare", backend.lowered.get(40));
            assertEquals(
                    "not 32",
                    assertThrows(IllegalStateException.class, () -> steps.isPrepared(32))
                            .getMessage());
            assertEquals(
                    "not 32",
                    assertThrows(IllegalStateException.class, () -> steps.forBatch(32))
                            .getMessage());
            steps.forBatch(40);
            refused.clear();
            steps.budgetBytes(Long.MAX_VALUE - 1); // plans anew
            assertEquals(32, steps.forBatch(32).batch());
        }
    }

    /** Whether the backend can do it or not: what it throws there it may throw again when the batch is asked for. */
    @Test
    void theNextBatchIsBoundAheadOnceItsMemoryIsReady() throws InterruptedException {
        for (boolean can : new boolean[] {true, false}) {
            List<String> events = Collections.synchronizedList(new ArrayList<>());
            ForwardingBackend backend = new ForwardingBackend() {
                @Override
                public Workspace workspace() {
                    return new ForwardingWorkspace(super.workspace()) {
                        @Override
                        public boolean prepare(long bytes) {
                            events.add("memory");
                            return events.size() == 1;
                        }
                    };
                }

                @Override
                public LoweredProgram lower(Program program) {
                    return new ForwardingLoweredProgram(super.lower(program)) {
                        @Override
                        public Optional<Executable> bindAhead(WorkspacePlan plan, ModelMemory model, boolean whole) {
                            assertEquals(
                                    "crescendo-prepare", Thread.currentThread().getName());
                            events.add("ahead " + program.microBatch() + " in " + plan.totalBytes());
                            if (!can) {
                                throw new IllegalStateException("cannot be bound ahead");
                            }
                            return Optional.of(super.bind(plan, model));
                        }

                        @Override
                        public Executable bind(WorkspacePlan plan, ModelMemory model) {
                            if (program.microBatch() > 8) {
                                events.add("bind " + program.microBatch() + " in " + plan.totalBytes());
                            }
                            return super.bind(plan, model);
                        }
                    };
                }
            };
            try (ModelMemory model = model(backend);
                    Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
                steps.expect(List.of(use(8, 0, 79), use(32, 80, 400)));
                steps.forBatch(8);
                while (!steps.isPrepared(32)) {
                    Thread.sleep(1);
                }
                String place = " in " + steps.forBatch(32).workspaceBytes();
                List<String> expected = new ArrayList<>(List.of("memory", "memory", "ahead 32" + place));
                if (!can) {
                    expected.add("bind 32" + place);
                }
                assertEquals(expected, events);
            }
        }
    }

    @Test
    void announcedBatchesAreLoweredAndCompiledOnAnotherThread() throws InterruptedException {
        Watched backend = new Watched();
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            steps.expect(List.of(use(8, 0, 79), use(32, 80, 400), use(40, 401, 900)));
            while (!steps.firstMicroBatch(40, false).equals(OptionalInt.of(40)) || !backend.compiled.contains(40)) {
                Thread.sleep(1); // as long as it takes; a thread that never prepares is found by the build's own limit
            }
            steps.forBatch(8);
            steps.forBatch(32);
            steps.forBatch(40);
            assertEquals(Set.of(8, 32, 40), backend.compiled);
            backend.lowered.forEach((batch, thread) -> assertEquals("crescendo-prepare", thread, "batch " + batch));
        }
    }

    @Test
    void whatNoBatchNeedsAnyMoreIsClosed() {
        Watched backend = new Watched();
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            steps.expect(List.of(use(8, 0, 79), use(32, 80, 400), use(12, 0, 900), use(40, 401, 900)));
            steps.forBatch(8);
            steps.forBatch(12);
            steps.forBatch(32);
            steps.passed(80);
            assertEquals(Set.of(12, 32), steps.boundMicroBatches());
            steps.forBatch(40);
            steps.passed(401);
            assertEquals(Set.of(12, 40), steps.boundMicroBatches());
            assertEquals(8, steps.forBatch(8).batch(), "what was closed can be had again");
        }
    }

    @Test
    void unannouncedBatchesDoNotPileUp() {
        Watched backend = new Watched();
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            for (int batch = 4; batch <= 200; batch++) {
                assertEquals(batch, steps.forBatch(batch).batch());
                assertTrue(steps.boundMicroBatches().size() <= MicroBatchCover.ALWAYS_PREPARED);
            }
        }
    }

    @Test
    void aSmoothPlanUsesFewPrograms() {
        Watched backend = new Watched();
        List<BatchUse> uses = new ArrayList<>();
        for (int batch = 4; batch <= 120; batch += 4) {
            uses.add(use(batch, batch * 100L, batch * 100L + 99));
        }
        uses.add(use(35, 0, 1000));
        try (ModelMemory model = model(backend);
                StepPlanner planner =
                        new StepPlanner(backend, NETWORK, 4, 0, Long.MAX_VALUE, new MicroBatchCosts(1000, 1));
                Steps steps = new Steps(backend, model, planner)) {
            steps.expect(uses);
            int most = 0;
            for (BatchUse use : uses) {
                Step step = steps.forBatch((int) use.samples());
                steps.passed(use.firstSample());
                assertEquals(
                        use.samples(),
                        step.sizes().stream().mapToInt(Integer::intValue).sum());
                most = Math.max(most, steps.boundMicroBatches().size());
            }
            assertTrue(most <= MicroBatchCover.ALWAYS_PREPARED + 2, most + " programs at once");
        }
    }

    @Test
    void aSmallerBudgetGivesMemoryBackAndSplitsFurther() {
        Watched backend = new Watched();
        try (ModelMemory model = model(backend);
                Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
            Step whole = steps.forBatch(60);
            assertEquals(1, whole.microBatches());
            assertEquals(whole.workspaceBytes(), backend.workspace().capacityBytes());
            long budget = whole.workspaceBytes() / 3;
            steps.budgetBytes(budget);
            assertTrue(backend.workspace().capacityBytes() <= budget);
            Step split = steps.forBatch(60);
            assertTrue(split.microBatches() > 1);
            assertTrue(split.workspaceBytes() <= budget);
            assertTrue(backend.workspace().capacityBytes() <= budget);
            steps.budgetBytes(Long.MAX_VALUE - 1);
            assertEquals(1, steps.forBatch(60).microBatches());
        }
    }

    @Test
    void recomputationComesBeforeSplittingWhereThatIsCheaper() {
        Watched backend = new Watched();
        MicroBatchCosts launchBound = new MicroBatchCosts(100, 1000);
        try (StepPlanner free = new StepPlanner(backend, NETWORK, 4, 0, Long.MAX_VALUE)) {
            long needed = free.plan(64).workspaceBytes();
            try (StepPlanner tight = new StepPlanner(backend, NETWORK, 4, 0, needed * 9 / 10, launchBound);
                    StepPlanner cheap =
                            new StepPlanner(backend, NETWORK, 4, 0, needed * 9 / 10, new MicroBatchCosts(100, 0))) {
                StepPlan plan = tight.plan(64);
                assertEquals(List.of(64), plan.microBatches());
                assertTrue(plan.recomputation().extraTime() > 0, plan.toString());
                assertTrue(plan.workspaceBytes() <= needed * 9 / 10);
                assertEquals(List.of(32, 32), cheap.plan(64).microBatches());
                assertEquals("none", cheap.plan(64).recomputation().name());
            }
            // One ghost batch that fits no other way is recomputed whatever it costs.
            long one = free.plan(4).workspaceBytes();
            try (StepPlanner tight = new StepPlanner(backend, NETWORK, 4, 0, one * 9 / 10, new MicroBatchCosts(0, 0));
                    StepPlanner hopeless = new StepPlanner(backend, NETWORK, 4, 0, one / 20)) {
                assertEquals(4, tight.plan(16).microBatch());
                assertTrue(tight.plan(16).recomputation().extraTime() > 0);
                String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> hopeless.plan(16))
                        .getMessage());
                assertTrue(message.contains("4 samples"), message);
                // What it asks for is enough, in bytes and in the unit that is read.
                Matcher stated = Pattern.compile("needs (\\d+) bytes \\((\\d+\\.\\d)KiB\\)")
                        .matcher(message);
                assertTrue(stated.find(), message);
                long bytes = Long.parseLong(stated.group(1));
                assertTrue(Double.parseDouble(stated.group(2)) * (1 << 10) >= bytes, message);
                hopeless.budgetBytes(bytes);
                assertEquals(4, hopeless.plan(16).microBatch());
                assertEquals(bytes, hopeless.plan(16).workspaceBytes());
                hopeless.budgetBytes(bytes - 1);
                assertThrows(IllegalArgumentException.class, () -> hopeless.plan(16));
            }
        }
    }

    @Test
    void refusedMemoryMeansSmallerPiecesAndTheSameLearningCurve() {
        long seed = new Random().nextLong();
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.staircase(0.1, 1.0 / 5, 1, 2), TrainingPlan.batch(12), TrainingPlan.momentum(0.9))
                .forEpochs(3, DATA.size())
                .ragged(RaggedEpoch.KEEP)
                .growBatchInstead(100);
        Outcome whole = train(new RefusingBackend(Long.MAX_VALUE, true), plan, seed, -1);
        assertEquals(List.of(), whole.refusals);
        for (boolean says : new boolean[] {true, false}) {
            for (double share : new double[] {0.7, 0.3}) {
                long limit = (long) (whole.peakBytes * share);
                // From the start, and from the middle of the run: another process takes the memory.
                for (long later : new long[] {-1, 5}) {
                    RefusingBackend backend = new RefusingBackend(later < 0 ? limit : Long.MAX_VALUE, says);
                    Outcome split = train(backend, plan, seed, later < 0 ? -1 : limit);
                    String what = "seed " + seed + ", share " + share + ", says " + says + ", later " + later;
                    assertTrue(backend.refusals() > 0, what);
                    assertEquals(backend.refusals(), split.refusals.size(), what);
                    split.refusals.forEach(r -> assertTrue(r.budgetBytes() < r.requestedBytes(), what + ": " + r));
                    assertFalse(split.microBatches.equals(whole.microBatches), what);
                    // The reference backend adds in double; weights are read as float32.
                    assertArrayEquals(whole.weights.array(), split.weights.array(), 1e-6f, what);
                    assertArrayEquals(whole.losses.array(), split.losses.array(), 1e-9, what);
                }
            }
        }
    }

    /** {@link #train} compares each update with the phase that was announced. */
    @Test
    void memoryRefusedWithinAPhaseMeansThatItsPiecesAreAnnouncedAnew() {
        TrainingPlan plan = TrainingPlan.of(Schedule.constant(0.1), TrainingPlan.batch(24), TrainingPlan.momentum(0.9))
                .forEpochs(3, DATA.size());
        Outcome whole = train(new RefusingBackend(Long.MAX_VALUE, true), plan, 1, -1);
        Outcome split = train(new RefusingBackend(Long.MAX_VALUE, true), plan, 1, (long) (whole.peakBytes * 0.4));
        assertEquals(List.of(1, 1, 1, 1, 1), split.microBatches.subList(0, 5));
        assertTrue(split.microBatches.get(5) > 1, split.microBatches.toString());
    }

    /** Nobody set a budget, so none is to be raised: the refusal itself is told, with what the plan needs at least. */
    @Test
    void whereNoPieceFitsTheRefusalIsTold() {
        for (boolean says : new boolean[] {true, false}) {
            RefusingBackend backend = new RefusingBackend(100, says);
            try (ModelMemory model = model(backend);
                    Steps steps = new Steps(backend, NETWORK, model, 4, 0, Long.MAX_VALUE)) {
                for (int again = 0; again < 2; again++) {
                    String message = String.valueOf(assertThrows(DeviceMemoryException.class, () -> steps.forBatch(60))
                            .getMessage());
                    assertTrue(
                            message.startsWith("another process has the memory; the smallest micro-batch, 4"), message);
                }
                steps.budgetBytes(100); // now somebody has
                assertThrows(MemoryBudgetException.class, () -> steps.forBatch(60));
            }
        }
    }

    private record Outcome(
            FloatBuffer weights,
            DoubleBuffer losses,
            List<Integer> microBatches,
            List<Steps.Refusal> refusals,
            long peakBytes) {}

    /** Trains; after 5 updates the device has only {@code later} bytes, if that is not negative. */
    private static Outcome train(RefusingBackend backend, TrainingPlan plan, long seed, long later) {
        List<Steps.Refusal> refusals = new ArrayList<>();
        List<PhaseRecord> phases = new ArrayList<>();
        List<UpdateRecord> updates = new ArrayList<>();
        try (Trainer trainer = new Trainer(
                backend,
                NETWORK,
                plan,
                Optimizer.momentum(1e-3),
                DATA,
                DATA,
                Augmentation.NONE,
                TrainingOptions.DEFAULT.withGhostBatch(4).withSeed(seed))) {
            trainer.listen(new TrainingListener() {
                @Override
                public void phaseStarted(PhaseRecord phase) {
                    phases.add(phase);
                }

                @Override
                public void updated(UpdateRecord update) {
                    updates.add(update);
                    PhaseRecord phase = phases.get(phases.size() - 1);
                    if (update.batch() == phase.batch()) { // not a ragged end of an epoch
                        assertEquals(phase.microBatches(), update.microBatches(), "announced as it runs");
                        assertEquals(phase.microBatch(), update.microBatch(), "announced as it runs");
                    }
                    if (update.update() == 5 && later >= 0) {
                        backend.limit(later);
                        backend.workspace().shrink(0);
                    }
                }

                @Override
                public void memoryRefused(Steps.Refusal refusal) {
                    refusals.add(refusal);
                }
            });
            RunSummary summary = trainer.run("refused");
            float[] weights = new float[(int) trainer.model().weights().elements()];
            trainer.model().weights().read(0, weights);
            return new Outcome(
                    FloatBuffer.wrap(weights),
                    DoubleBuffer.wrap(
                            updates.stream().mapToDouble(UpdateRecord::loss).toArray()),
                    updates.stream().map(UpdateRecord::microBatches).toList(),
                    refusals,
                    summary.peakWorkspaceBytes());
        }
    }

    @Test
    void gradientsOfACoverEqualThoseOfTheWholeBatch() {
        long seed = new Random().nextLong();
        float[] whole = gradients(new MicroBatchCosts(0, 1000), seed);
        float[] covered = gradients(new MicroBatchCosts(1000, 0), seed);
        assertTrue(Arrays.equals(whole, covered), "seed " + seed); // added in double, in the order of the samples
    }

    private static float[] gradients(MicroBatchCosts costs, long seed) {
        Watched backend = new Watched();
        List<BatchUse> uses = new ArrayList<>();
        for (int batch = 4; batch <= 120; batch += 4) {
            uses.add(use(batch, 0, 99));
        }
        try (ModelMemory model = model(backend);
                Steps steps =
                        new Steps(backend, model, new StepPlanner(backend, NETWORK, 4, 0, Long.MAX_VALUE, costs));
                BatchStream stream = new BatchStream(DATA, Normalization.of(DATA), Augmentation.NONE, seed)) {
            steps.expect(uses);
            Step step = steps.forBatch(92);
            assertEquals(costs.overheadSamples() > 0 ? 1 : 2, Math.min(2, step.microBatches()));
            step.run(stream, 0, 13, seed, () -> {});
            float[] gradients = new float[(int) model.gradients().elements()];
            model.gradients().read(0, gradients);
            return gradients;
        }
    }
}
