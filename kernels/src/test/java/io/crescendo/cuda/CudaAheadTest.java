package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Window;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.BatchUse;
import io.crescendo.train.Step;
import io.crescendo.train.Steps;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What is made ready on another thread while a step runs: memory, bindings, graphs. */
@NullMarked
@Tag("cuda")
class CudaAheadTest {
    private static final int OUT_OF_MEMORY = 2;
    private static final int ECC_UNCORRECTABLE = 214;
    private static final int NOT_SUPPORTED = 801;
    private static final int MAPS_MEMORY = 102; // CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    private static final long PAGE = 2L << 20;
    private static final int FIRST = 4;
    private static final int SMALL = 8;
    private static final int LARGE = 80;
    private static final Dataset TRAINING = new RandomDataset(90, 3, new ImageShape(2, 16, 14), 11);

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);
    private CudaTestEnvironment cuda = CudaTestEnvironment.open();

    @BeforeEach
    void reset() {
        cuda = CudaTestEnvironment.open();
        cuda.schedule(StandIns.Schedule.RANDOM, seed);
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(seed);
    }

    private static Network network() {
        return new Network(
                "toy",
                2,
                16,
                14,
                3,
                Layer.sequence(
                        new Conv2d("conv", 8, Window.square(3, 1, 1)),
                        new BatchNorm("norm"),
                        new Relu(),
                        new Conv2d("conv2", 16, Window.square(3, 1, 1)),
                        new BatchNorm("norm2"),
                        new Relu(),
                        new GlobalAveragePool(),
                        new Dense("logits", 3)));
    }

    /** The same choice of methods in every run, or the bits may differ for another reason. */
    private CudaBackend open(Precision precision) {
        return new CudaBackend(
                cuda.machine(), BackendOptions.DEFAULT.withDeterministic(true).withPrecision(precision));
    }

    /** A model, its update and what it is trained on: on the device, or fed. */
    private final class Training implements AutoCloseable {
        final CudaBackend backend;
        final ModelMemory model;
        final Steps steps;
        final BatchStream stream = new BatchStream(TRAINING, Normalization.of(TRAINING), Augmentation.NONE, 1);
        final Optional<ResidentImages> images;
        final UpdateKernel update;
        int updates;

        Training(Precision precision, boolean resident) {
            backend = open(precision);
            Network network = network();
            Program layout = network.inferenceProgram(1, 0, backend.fusions());
            model = ModelMemory.allocate(backend, layout, seed);
            Optimizer optimizer = Optimizer.momentum(1e-3);
            update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
            steps = new Steps(backend, network, model, 4, 0, Long.MAX_VALUE);
            images = resident ? backend.residentImages(stream.source()) : Optional.empty();
        }

        void expect() {
            steps.expect(List.of(new BatchUse(SMALL, 4, 0, 99), new BatchUse(LARGE, 9, 100, 999)));
        }

        StepMetrics.Reading update(int batch) {
            Step step = steps.forBatch(batch);
            UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 1.0 / batch, 1e-3, ++updates);
            if (images.isPresent()) {
                return step.update(images.get(), 0, 0, update, scalars);
            }
            step.run(stream, 0, 0, 1, () -> {});
            StepMetrics.Reading reading = backend.metrics().take();
            update.apply(scalars);
            return reading;
        }

        /** Trains on the small batch until the large one is ready. */
        void untilPrepared() throws InterruptedException {
            while (!steps.isPrepared(LARGE)) {
                Thread.sleep(1);
            }
        }

        float[] weights() {
            backend.metrics().read();
            float[] weights = new float[Math.toIntExact(model.weights().elements())];
            model.weights().read(0, weights);
            return weights;
        }

        @Override
        public void close() {
            images.ifPresent(ResidentImages::close);
            stream.close();
            steps.close();
            update.close();
            model.close();
            backend.close();
        }
    }

    /** How often calls were made since the last reset, by name; all but those that make a context current under "". */
    private static Map<String, Long> calls(StandIns standIns) {
        Map<String, Long> counts = new TreeMap<>();
        for (String name : List.of(
                "cuLaunchKernel",
                "cuGraphLaunch",
                "cuMemcpyHtoDAsync",
                "cuMemcpyDtoDAsync",
                "cuEventRecord",
                "cuEventSynchronize",
                "cuStreamWaitEvent")) {
            counts.put(name, standIns.calls(name));
        }
        counts.put("", standIns.calls("*") - standIns.calls("cuCtxSetCurrent"));
        return counts;
    }

    private static Map<String, Long> difference(Map<String, Long> after, Map<String, Long> before) {
        Map<String, Long> difference = new TreeMap<>(after);
        before.forEach((name, count) -> difference.merge(name, -count, Long::sum));
        return difference;
    }

    @Test
    void theFirstUpdateAtAnAnnouncedBatchMakesTheCallsOfAnyOther() throws InterruptedException {
        StandIns standIns = cuda.standIns();
        long mapped = 0;
        for (boolean resident : new boolean[] {true, false}) {
            for (Precision precision : List.of(Precision.FP32, Precision.BF16)) {
                try (Training training = new Training(precision, resident)) {
                    training.update(FIRST); // what is recorded ahead is recorded as the last update was made
                    training.expect();
                    training.update(SMALL);
                    training.untilPrepared();
                    long small = training.backend.workspace().capacityBytes();
                    Map<String, Long> before = calls(standIns);
                    training.update(LARGE);
                    Map<String, Long> between = calls(standIns);
                    training.update(LARGE);
                    Map<String, Long> first = difference(between, before);
                    Map<String, Long> second = difference(calls(standIns), between);
                    assertEquals(second, first, precision + ", resident " + resident + ", seed " + seed);
                    // Where a batch is fed, the update is a launch of its own.
                    assertEquals(Long.valueOf(resident ? 1 : 2), first.get("cuGraphLaunch"));
                    mapped += training.backend.workspace().capacityBytes() - small;
                }
            }
        }
        assertTrue(mapped > 0, "there was memory to map");
    }

    /** Pieces but the last run without an update behind them: both ways are recorded. */
    @Test
    void theFirstUpdateInPiecesIsNoneButGraphs() throws InterruptedException {
        StandIns standIns = cuda.standIns();
        try (Training training = new Training(Precision.FP32, true)) {
            Program program = network().trainingProgram(LARGE, 4, 0, training.backend.fusions());
            try (LoweredProgram lowered = training.backend.lower(program)) {
                long whole =
                        WorkspacePlanner.plan(program, lowered.requirements()).totalBytes();
                training.steps.budgetBytes((long) (0.6 * whole));
            }
            training.update(FIRST);
            training.expect();
            training.update(SMALL);
            training.untilPrepared();
            Map<String, Long> before = calls(standIns);
            training.update(LARGE);
            Map<String, Long> first = difference(calls(standIns), before);
            long pieces = training.steps.forBatch(LARGE).microBatches();
            assertTrue(pieces > 1, "the budget should force a split");
            assertEquals(Long.valueOf(pieces), first.get("cuGraphLaunch"));
            assertEquals(Long.valueOf(0), first.get("cuLaunchKernel"), "seed " + seed);
        }
    }

    /** What the host would look at is freed by then. */
    @Test
    void aReadingThatIsAskedForAfterTheEndSaysSo() {
        cuda.schedule(StandIns.Schedule.LAZY, seed);
        StepMetrics.Reading reading;
        try (Training training = new Training(Precision.FP32, true)) {
            reading = training.update(SMALL);
        }
        assertThrows(IllegalStateException.class, reading::isDone);
        assertThrows(IllegalStateException.class, reading::sums);
    }

    @Test
    void whatWasBoundAheadComputesTheSame() throws InterruptedException {
        for (Precision precision : List.of(Precision.FP32, Precision.BF16)) {
            boolean resident = precision == Precision.BF16;
            float[] expected;
            try (Training training = new Training(precision, resident)) {
                for (int batch : new int[] {FIRST, SMALL, LARGE, SMALL, LARGE}) {
                    training.update(batch);
                }
                expected = training.weights();
            }
            try (Training training = new Training(precision, resident)) {
                training.update(FIRST);
                training.expect();
                training.update(SMALL);
                training.untilPrepared();
                for (int batch : new int[] {LARGE, SMALL, LARGE}) {
                    training.update(batch);
                }
                assertArrayEquals(expected, training.weights(), precision + ", seed " + seed);
            }
        }
    }

    /** Or a program that was not announced would meet them, and its recording would be spoilt. */
    @Test
    void handlesAreMadeWhileNothingIsRecorded() throws InterruptedException {
        try (CudaBackend backend = open(Precision.FP32)) {
            AtomicReference<@Nullable Throwable> failed = new AtomicReference<>();
            Thread ahead = new Thread(() -> {
                backend.device().enter();
                Replay aside = new Replay(
                        backend,
                        "what is recorded ahead",
                        List.of(backend.metrics().taking()));
                aside.recordAhead();
                aside.close();
            });
            ahead.setUncaughtExceptionHandler((thread, thrown) -> failed.set(thrown));
            int[] launches = {0};
            Replay replay = new Replay(
                    backend,
                    "a step",
                    List.of(
                            backend.metrics().taking(),
                            new Replay.Item(
                                    lane -> {
                                        if (++launches[0] == 2) { // now it is recorded
                                            ahead.start();
                                            awaitBlockedOrEnded(ahead);
                                        }
                                    },
                                    "a meeting")));
            replay.launch();
            ahead.join();
            assertNull(failed.get());
            assertEquals(2, launches[0]);
            replay.launch();
            assertEquals(2, launches[0], "it is a graph");
            backend.device().await();
            replay.close();
        }
    }

    /** Where a library cannot be recorded at its first use this shows as a first update that is slow, and here. */
    @Test
    void nothingKeepsAProgramFromBeingRecordedAhead() throws InterruptedException {
        List<String> complaints = new CopyOnWriteArrayList<>();
        Handler complaining = new Handler() {
            @Override
            public void publish(LogRecord record) {
                complaints.add(new SimpleFormatter().formatMessage(record));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger log = Logger.getLogger(Replay.class.getName());
        log.addHandler(complaining);
        try {
            for (Precision precision : Precision.values()) {
                try (Training training = new Training(precision, precision != Precision.FP32)) {
                    training.update(FIRST);
                    training.expect();
                    training.update(SMALL);
                    training.untilPrepared();
                    training.update(LARGE);
                    training.weights();
                }
            }
        } finally {
            log.removeHandler(complaining);
        }
        assertEquals(List.of(), complaints, "seed " + seed);
    }

    private static void awaitBlockedOrEnded(Thread thread) {
        while (thread.getState() != Thread.State.BLOCKED && thread.isAlive()) {
            LockSupport.parkNanos(100_000);
        }
    }

    @Test
    void whatIsPreparedAndNeverUsedIsGivenBack() throws InterruptedException {
        try (Training training = new Training(Precision.FP32, true)) {
            training.expect();
            training.update(SMALL);
            training.untilPrepared();
            training.steps.budgetBytes(Long.MAX_VALUE - 1); // plans anew
            assertTrue(training.update(LARGE).sums().loss() > 0);
        }
        try (Training training = new Training(Precision.FP32, true)) {
            training.expect();
            training.update(SMALL);
            training.untilPrepared();
        }
    }

    /** A call that fails on the other thread costs time later, and nothing else. */
    @Test
    void whatCannotBeDoneAheadIsDoneWhenItIsNeeded() throws InterruptedException {
        StandIns standIns = cuda.standIns();
        float[] expected;
        try (Training training = new Training(Precision.FP32, true)) {
            training.update(SMALL);
            training.update(LARGE);
            expected = training.weights();
        }
        Map<String, Integer> failures = Map.of(
                "cuStreamBeginCapture_v2", NOT_SUPPORTED,
                "cuStreamEndCapture", NOT_SUPPORTED,
                "cuGraphInstantiateWithFlags", OUT_OF_MEMORY,
                "cuGraphUpload", NOT_SUPPORTED,
                "cuMemMap", OUT_OF_MEMORY,
                "cuMemCreate", OUT_OF_MEMORY);
        for (Map.Entry<String, Integer> failure : failures.entrySet()) {
            try (Training training = new Training(Precision.FP32, true)) {
                Program program = network().trainingProgram(LARGE, 4, 0, training.backend.fusions());
                training.update(SMALL);
                LoweredProgram lowered = training.backend.lower(program);
                WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                lowered.compile();
                standIns.fail(failure.getKey(), 1, failure.getValue());
                prepare(training.backend, plan.totalBytes());
                Optional<Executable> ahead = lowered.bindAhead(plan, training.model, true);
                assertTrue(standIns.failed(), failure.getKey());
                assertEquals(!failure.getKey().startsWith("cuMem"), ahead.isPresent(), failure.getKey());
                training.backend.workspace().reserve(plan.totalBytes());
                try (Executable executable = ahead.orElseGet(() -> lowered.bind(plan, training.model))) {
                    lowered.close();
                    training.images
                            .orElseThrow()
                            .update(
                                    executable,
                                    0,
                                    0,
                                    LARGE,
                                    training.update,
                                    new UpdateScalars(0.1, 0.9, 1.0 / LARGE, 1e-3, 2));
                    assertArrayEquals(expected, training.weights(), failure.getKey() + ", seed " + seed);
                }
            }
            assertEquals("", standIns.leaks(), failure.getKey());
        }
    }

    private static void prepare(CudaBackend backend, long bytes) {
        while (backend.workspace().prepare(bytes)) {}
    }

    @Test
    void nothingIsBoundBeforeItsAddressesAreThere() {
        StandIns standIns = cuda.standIns();
        try (Training training = new Training(Precision.BF16, true);
                ModelMemory other = ModelMemory.allocate(
                        training.backend, network().inferenceProgram(1, 0, training.backend.fusions()), seed + 1)) {
            Program program = network().trainingProgram(LARGE, 4, 0, training.backend.fusions());
            try (LoweredProgram lowered = training.backend.lower(program)) {
                WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                assertTrue(lowered.bindAhead(plan, training.model, true).isEmpty(), "no memory is there yet");
                prepare(training.backend, plan.totalBytes());
                assertTrue(lowered.bindAhead(plan, other, true).isEmpty(), "no bf16 weights are there yet");
                try (Executable executable =
                        lowered.bindAhead(plan, training.model, true).orElseThrow()) {
                    assertThrows(
                            IllegalStateException.class,
                            () -> training.images.orElseThrow().run(executable, 0, 0, LARGE),
                            "the workspace was not reserved");
                }
            }
            standIns.attribute(MAPS_MEMORY, 0);
        }
        try (Training training = new Training(Precision.FP32, true)) {
            training.expect();
            training.update(SMALL);
            training.backend.workspace().reserve(100 << 20);
            Program program = network().trainingProgram(LARGE, 4, 0, training.backend.fusions());
            try (LoweredProgram lowered = training.backend.lower(program)) {
                WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                assertTrue(lowered.bindAhead(plan, training.model, true).isEmpty(), "memory that moves");
            }
        }
    }

    /** Programs are closed behind a launch that has not run; a step that still runs is none the worse for it. */
    @Test
    void whatIsClosedWhileItRunsRunsToItsEnd() {
        float[] expected = null;
        for (boolean early : new boolean[] {false, true}) {
            cuda.schedule(StandIns.Schedule.LAZY, seed);
            try (Training training = new Training(Precision.BF16, true)) {
                Program program = network().trainingProgram(LARGE, 4, 0, training.backend.fusions());
                for (int i = 0; i < 3; i++) {
                    LoweredProgram lowered = training.backend.lower(program);
                    Executable executable =
                            lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), training.model);
                    lowered.close();
                    training.images.orElseThrow().run(executable, 0, 0, LARGE);
                    training.images.orElseThrow().run(executable, 0, 0, LARGE);
                    if (early) {
                        executable.close();
                    }
                    training.update.apply(new UpdateScalars(0.1, 0.9, 1.0 / LARGE, 1e-3, i + 1));
                    training.backend.metrics().read();
                    executable.close();
                }
                if (expected == null) {
                    expected = training.weights();
                } else {
                    assertArrayEquals(expected, training.weights(), "seed " + seed);
                }
            }
        }
    }

    /** What is retired cannot be asked about any more, and its failing again is no news. */
    @Test
    void afterAFailureWhatWasRetiredClosesQuietly() {
        StandIns standIns = cuda.standIns();
        Training training = new Training(Precision.FP32, true);
        training.update(SMALL);
        training.update(LARGE);
        training.steps.expect(List.of(new BatchUse(SMALL, 9, 0, 9), new BatchUse(LARGE, 9, 10, 999)));
        training.steps.passed(10);
        assertEquals(Set.of(LARGE), training.steps.boundMicroBatches(), "one was retired");
        standIns.loud(false);
        standIns.fail("cuGraphLaunch", 1, ECC_UNCORRECTABLE);
        assertThrows(CudaException.class, () -> training.update(LARGE));
        training.close();
        standIns.loud(true);
    }

    @Test
    void closingWaitsForNobody() {
        StandIns standIns = cuda.standIns();
        try (Training training = new Training(Precision.FP32, true)) {
            training.update(SMALL);
            training.update(LARGE);
            training.steps.expect(List.of(new BatchUse(SMALL, 9, 0, 9), new BatchUse(LARGE, 9, 10, 999)));
            long waits = standIns.calls("cuStreamSynchronize") + standIns.calls("cuEventSynchronize");
            training.steps.passed(10);
            assertEquals(Set.of(LARGE), training.steps.boundMicroBatches(), "one was closed");
            training.update(LARGE);
            assertEquals(waits, standIns.calls("cuStreamSynchronize") + standIns.calls("cuEventSynchronize"));
        }
    }

    /** Or a step that runs meanwhile finds none for its graph, or for a kernel that is loaded when it is first used. */
    @Test
    void preparingLeavesMemoryForWhatRunsMeanwhile() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open(Precision.FP32)) {
            CudaWorkspace workspace = backend.workspace();
            workspace.reserve(10 << 20);
            long before = standIns.usedBytes();
            long room = 100 << 20;
            standIns.memory(before + room + MappedRegion.RESERVE_BYTES);
            prepare(backend, (10 << 20) + room);
            assertEquals(before + room, standIns.usedBytes(), "all that may be taken");
            workspace.shrink(10 << 20);
            prepare(backend, (10 << 20) + 2 * room);
            assertEquals(before, standIns.usedBytes(), "what was prepared is given back");
            assertTrue(standIns.peakBytes() <= before + room, "never was there less than the reserve");
            workspace.reserve((10 << 20) + 2 * room); // who needs it now gets it
        }
    }

    /** Each attempt to record ahead makes it anew. */
    @Test
    void aLaneThatCannotBeMadeLeavesNothing() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open(Precision.FP32)) {
            String held = standIns.leaks();
            for (String call : List.of("cudnnCreate", "cudnnSetStream")) {
                standIns.fail(call, 1, OUT_OF_MEMORY);
                assertThrows(jcuda.CudaException.class, () -> backend.device().recording());
                assertEquals(held, standIns.leaks(), call);
            }
            assertSame(backend.device().recording(), backend.device().recording());
        }
    }

    @Test
    void whatIsRefusedAheadIsGivenBackAndMemoryIsNeverPromisedTwice() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open(Precision.FP32)) {
            CudaWorkspace workspace = backend.workspace();
            workspace.reserve(10 << 20);
            long others = standIns.usedBytes() - workspace.capacityBytes();
            standIns.memory(standIns.usedBytes() + (80 << 20));
            prepare(backend, 200 << 20);
            assertEquals(others + (10 << 20), standIns.usedBytes(), "what was prepared is given back");
            workspace.reserve(50 << 20);
            standIns.fail("cuMemCreate", 1, OUT_OF_MEMORY);
            // In the middle of a chunk: it is unmapped, and the smaller one in its place is refused.
            assertThrows(CudaException.class, () -> workspace.shrink(30 << 20));
            assertEquals(standIns.usedBytes() - others, workspace.capacityBytes());
            workspace.reserve(30 << 20);
            assertEquals(30 << 20, workspace.capacityBytes());
            assertEquals(30 << 20, standIns.usedBytes() - others);
        }
    }

    /** Where images are on the device the first feed makes room, and may be refused like any other growth. */
    @Test
    void aFirstFeedThatIsRefusedSaysWhatWouldFit() {
        StandIns standIns = cuda.standIns();
        try (Training training = new Training(Precision.FP32, true)) {
            training.update(SMALL);
            float[] before = training.weights();
            long enough = standIns.usedBytes() + 2 * PAGE;
            standIns.memory(enough - 1);
            Step step = training.steps.forBatch(SMALL);
            DeviceMemoryException refused =
                    assertThrows(DeviceMemoryException.class, () -> step.run(training.stream, 0, 0, 1, () -> {}));
            assertTrue(String.valueOf(refused.getMessage()).contains("feeding 8 samples"), refused.getMessage());
            assertTrue(String.valueOf(refused.getMessage()).contains("--memory-budget"), refused.getMessage());
            standIns.memory(enough);
            step.run(training.stream, 0, 0, 1, () -> {});
            training.update.apply(new UpdateScalars(0.1, 0.9, 1.0 / SMALL, 1e-3, 2));
            assertFalse(Arrays.equals(before, training.weights()));
        }
    }

    @Test
    void whereBatchesAreMadeOnTheDeviceFeedsHaveNoMemory() {
        StandIns standIns = cuda.standIns();
        for (boolean resident : new boolean[] {true, false}) {
            try (Training training = new Training(Precision.FP32, resident)) {
                long before = standIns.usedBytes();
                training.update(SMALL);
                long planned = training.backend.workspace().capacityBytes()
                        + training.backend.inputRegion().heldBytes();
                assertEquals(resident ? 0 : 2 * PAGE, standIns.usedBytes() - before - planned, "two slots of a page");
            }
        }
    }

    @Test
    void preparedMemoryIsMappedInPiecesAndCountsWhenItIsReserved() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open(Precision.FP32)) {
            CudaWorkspace workspace = backend.workspace();
            long others = standIns.usedBytes();
            long promised = 0;
            long held = 0;
            for (int i = 0; i < 60; i++) {
                long bytes = 1 + (long) (random.nextDouble() * (400 << 20));
                long pages = (bytes + PAGE - 1) / PAGE * PAGE;
                long maps = standIns.calls("cuMemMap");
                switch (random.nextInt(3)) {
                    case 0 -> {
                        while (workspace.prepare(bytes)) {}
                        assertTrue(pages - held <= (32 << 20) * (standIns.calls("cuMemMap") - maps), "in pieces");
                        held = Math.max(held, pages);
                    }
                    case 1 -> {
                        workspace.reserve(bytes);
                        assertEquals(pages > held ? 1 : 0, standIns.calls("cuMemMap") - maps);
                        promised = Math.max(promised, pages);
                        held = Math.max(held, pages);
                    }
                    default -> {
                        workspace.shrink(bytes);
                        promised = Math.min(promised, pages);
                        held = Math.min(held, pages);
                    }
                }
                String what = "seed " + seed + ", step " + i;
                assertEquals(promised, workspace.capacityBytes(), what);
                assertEquals(held, standIns.usedBytes() - others, what);
                assertEquals(held >= bytes, workspace.isReady(bytes), what);
            }
        }
    }
}
