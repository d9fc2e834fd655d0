package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.ResidentImages;
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
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.optim.Optimizer;
import io.crescendo.reference.ReferenceBackend;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.train.Steps;
import io.crescendo.train.ToyRun;
import io.crescendo.train.Trainer;
import io.crescendo.train.TrainingListener;
import io.crescendo.train.TrainingOptions;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whole runs in which the batch grows: on CUDA as on the reference backend, update by update. */
@NullMarked
@Tag("cuda")
class CudaTrainingTest {
    private static final int OUT_OF_MEMORY = 2;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
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

    private static ToyRun train(Backend backend, TrainingOptions options) {
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.staircase(0.05, 1.0 / 4, 1, 2), TrainingPlan.batch(8), TrainingPlan.momentum(0.9))
                .forEpochs(3, ToyRun.TRAINING.size())
                .ragged(RaggedEpoch.KEEP)
                .growBatchInstead(40);
        return ToyRun.train(backend, plan, options);
    }

    private static ToyRun reference(TrainingOptions options) {
        return train(new ReferenceBackend(EnumSet.noneOf(Fusion.class), true), options);
    }

    private ToyRun onCuda(BackendOptions backend, TrainingOptions options) {
        return train(new CudaBackend(cuda.machine(), backend), options);
    }

    /** Float32 against double: some 20 updates let roundings of 6e-8 grow, but not to the fourth digit. */
    private void assertAgree(ToyRun expected, ToyRun actual) {
        assertEquals(expected.updates().size(), actual.updates().size());
        for (int i = 0; i < expected.updates().size(); i++) {
            assertEquals(
                    expected.updates().get(i).loss(),
                    actual.updates().get(i).loss(),
                    1e-4,
                    "seed " + seed + ", update " + i);
        }
        assertArrayEquals(expected.weights().array(), actual.weights().array(), 1e-4f, "seed " + seed);
        assertEquals(expected.summary().testLoss(), actual.summary().testLoss(), 1e-4);
        assertEquals(expected.summary().testAccuracy(), actual.summary().testAccuracy(), 0.04); // one of 31 may tip
    }

    @Test
    void aRunWithGrowingBatchesIsTheReferencesRun() {
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun expected = reference(options);
        ToyRun recorded = onCuda(BackendOptions.DEFAULT, options);
        assertAgree(expected, recorded);
        assertEquals(
                List.of(8, 32, 40),
                recorded.phases().stream().map(PhaseRecord::batch).toList());
        assertAgree(expected, onCuda(BackendOptions.DEFAULT.withGraphs(false), options));
    }

    @Test
    void aBudgetThatForcesMicroBatchesChangesNothing() {
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun whole = onCuda(BackendOptions.DEFAULT.withDeterministic(true), options);
        long needed = whole.phases().get(2).workspaceBytes();
        ToyRun split =
                onCuda(BackendOptions.DEFAULT.withDeterministic(true), options.withMemoryBudget((long) (needed * 0.4)));
        assertTrue(split.phases().get(2).microBatches() > 1, "the budget should force a split");
        assertAgree(whole, split);
    }

    /** Methods are measured by then, so the first run on a machine needs no more memory than the next one. */
    @Test
    void whatIsCompiledNeedsWhatTheNextRunWillNeed(@TempDir Path empty) {
        Machine here = cuda.machine();
        Map<String, String> environment = new HashMap<>(here.environment());
        environment.put("XDG_CACHE_HOME", empty.toString());
        Machine unknown = new Machine(here.root(), environment, here.home(), here.platform());
        long reckoned = 0;
        long needed = 0;
        try (CudaBackend backend = new CudaBackend(unknown, BackendOptions.DEFAULT)) {
            for (NetworkCase network : NetworkCase.networks(new Random(seed))) {
                Program program = network.training(backend.fusions());
                try (LoweredProgram first = backend.lower(program)) {
                    long[] before = scratchBytes(program, first);
                    first.compile();
                    long[] after = scratchBytes(program, first);
                    try (LoweredProgram next = backend.lower(program)) {
                        assertArrayEquals(scratchBytes(program, next), after, "seed " + seed);
                    }
                    for (int i = 0; i < after.length; i++) {
                        assertTrue(after[i] <= before[i], program.describe(i) + ", seed " + seed);
                    }
                    reckoned += LongStream.of(before).sum();
                    needed += LongStream.of(after).sum();
                }
            }
        }
        assertTrue(cuda.realDevice() || needed < reckoned, needed + " of " + reckoned + " bytes, seed " + seed);
    }

    private static long[] scratchBytes(Program program, LoweredProgram lowered) {
        return IntStream.range(0, program.ops().size())
                .mapToLong(lowered.requirements()::scratchBytes)
                .toArray();
    }

    @Test
    void deterministicRunsGiveTheSameBits() {
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        BackendOptions deterministic = BackendOptions.DEFAULT.withDeterministic(true);
        ToyRun first = onCuda(deterministic, options);
        ToyRun second = onCuda(deterministic, options);
        assertArrayEquals(first.weights().array(), second.weights().array());
        assertEquals(first.summary().trainLoss(), second.summary().trainLoss());
    }

    @Test
    void runsWithoutMemoryForTheWholeBatchGoOnWithSmallerPieces() {
        StandIns standIns = cuda.standIns();
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun expected = reference(options);
        // The workspace is refused once, as if another process had the memory.
        standIns.fail("cuMemCreate", 2, OUT_OF_MEMORY); // the first is a trial whether memory can be mapped
        ToyRun actual = onCuda(BackendOptions.DEFAULT, options);
        assertTrue(standIns.failed());
        assertEquals(1, actual.refusals().size(), "the refusal is said");
        assertAgree(expected, actual);
    }

    /** As on a device whose memory another process has: nobody set a budget, so none is spoken of. */
    @Test
    void whereNoPieceFitsItIsSaidWhatThereIs() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
                ModelMemory model = ModelMemory.allocate(
                        backend, ToyRun.network().inferenceProgram(1, 0, backend.fusions()), seed);
                Steps steps = new Steps(backend, ToyRun.network(), model, 4, 0, Long.MAX_VALUE)) {
            standIns.memory(standIns.usedBytes() + 1000);
            String message = String.valueOf(assertThrows(DeviceMemoryException.class, () -> steps.forBatch(40))
                    .getMessage());
            for (String part : List.of(
                    "the training program with micro-batch 40 needs a workspace of ",
                    "largest values",
                    "0.00 MiB (1000 bytes) of the device's ",
                    "other processes",
                    "the smallest micro-batch, 4 samples, needs ")) {
                assertTrue(message.contains(part), message + "\nshould contain: " + part);
            }
            assertFalse(message.contains("budget"), message);
        }
    }

    /** A run whose batch is refused in one piece trains, without another refusal, where this budget is set. */
    @Test
    void theBudgetThatARefusalSuggestsIsEnough() {
        StandIns standIns = cuda.standIns();
        int batch = 16_384; // of single numbers that become many: megabytes, and little to compute
        Dataset data = new RandomDataset(batch, 3, new ImageShape(1, 1, 1), 11);
        Network network = new Network(
                "wide",
                1,
                1,
                1,
                3,
                Layer.sequence(new GlobalAveragePool(), new Dense("wide", 256), new Relu(), new Dense("logits", 3)));
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.constant(0.05), TrainingPlan.batch(batch), TrainingPlan.momentum(0.9))
                .forEpochs(1, batch);
        String message;
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            Program whole = network.trainingProgram(batch, 1, 0, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, whole, seed);
                    LoweredProgram lowered = backend.lower(whole)) {
                WorkspacePlan workspace = WorkspacePlanner.plan(whole, lowered.requirements());
                standIns.memory(standIns.usedBytes() + (long) (0.8 * workspace.totalBytes()));
                message = String.valueOf(assertThrows(DeviceMemoryException.class, () -> lowered.bind(workspace, model))
                        .getMessage());
            }
        }
        Matcher suggested = Pattern.compile("--memory-budget (\\d+)MiB").matcher(message);
        assertTrue(suggested.find(), message);
        TrainingOptions options =
                TrainingOptions.DEFAULT.withGhostBatch(1).withMemoryBudget(Long.parseLong(suggested.group(1)) << 20);
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
                Trainer trainer = new Trainer(
                        backend, network, plan, Optimizer.momentum(1e-3), data, data, Augmentation.NONE, options)) {
            trainer.listen(new TrainingListener() {
                @Override
                public void phaseStarted(PhaseRecord phase) {
                    assertTrue(phase.microBatches() > 1, phase + " with " + suggested.group());
                }

                @Override
                public void memoryRefused(Steps.Refusal refusal) {
                    fail(refusal + " although this was suggested: " + suggested.group());
                }
            });
            assertEquals(1, trainer.run("suggested").updates());
        }
    }

    /** On a device that maps memory, a larger batch grows the arena where it is, and no graph is recorded again. */
    @Test
    void recordedGraphsStayValidWhenTheBatchGrows() {
        StandIns standIns = cuda.standIns();
        BackendOptions deterministic = BackendOptions.DEFAULT.withDeterministic(true);
        Network network = ToyRun.network();
        try (CudaBackend backend = new CudaBackend(cuda.machine(), deterministic);
                ModelMemory model =
                        ModelMemory.allocate(backend, network.inferenceProgram(1, 0, backend.fusions()), seed);
                Steps steps = new Steps(backend, network, model, 4, 0, Long.MAX_VALUE);
                BatchStream stream =
                        new BatchStream(ToyRun.TRAINING, Normalization.of(ToyRun.TRAINING), Augmentation.NONE, 1)) {
            float[] first = gradients(backend, model, steps, stream, 8);
            long address = backend.workspace().address();
            backend.workspace().shrink(0); // so that growing maps memory anew, however small the programs are
            float[] large = gradients(backend, model, steps, stream, 40);
            long recorded = standIns.calls("cuStreamBeginCapture_v2");
            long replayed = standIns.calls("cuGraphLaunch");
            assertArrayEquals(first, gradients(backend, model, steps, stream, 8), "seed " + seed);
            assertArrayEquals(large, gradients(backend, model, steps, stream, 40), "seed " + seed);
            assertEquals(recorded, standIns.calls("cuStreamBeginCapture_v2"), "recordings");
            assertEquals(replayed + 2, standIns.calls("cuGraphLaunch"), "replays");
            assertEquals(address, backend.workspace().address());
        }
    }

    /** What the driver is asked for decides what the host needs for a step. */
    @Test
    void aStepOnImagesOfTheDeviceIsOneLaunch() {
        StandIns standIns = cuda.standIns();
        Network network = ToyRun.network();
        Optimizer optimizer = Optimizer.momentum(1e-3);
        int batch = 8;
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
                BatchStream stream =
                        new BatchStream(ToyRun.TRAINING, Normalization.of(ToyRun.TRAINING), Augmentation.NONE, 1);
                ResidentImages images = backend.residentImages(stream.source()).orElseThrow()) {
            Program program = network.trainingProgram(batch, batch, 0, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed);
                    LoweredProgram lowered = backend.lower(program);
                    Executable step = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
                    UpdateKernel update =
                            backend.prepareUpdate(optimizer.rule(), model, program.parameters(), optimizer.decay())) {
                for (int i = 0; i < 3; i++) {
                    Map<String, Long> before = calls(standIns);
                    images.update(
                            step,
                            0,
                            (long) batch * i,
                            batch,
                            update,
                            new UpdateScalars(0.1, 0.9, 1.0 / batch, 1e-3, i + 1));
                    Map<String, Long> made = calls(standIns);
                    before.forEach((name, count) -> made.merge(name, -count, Long::sum));
                    if (i > 0) { // the first step records
                        assertEquals(
                                Map.of("cuCtxSetCurrent", 1L, "cuLaunchKernel", 0L, "cuGraphLaunch", 1L, "*", 2L),
                                made);
                    }
                }
                backend.metrics().read();
            }
        }
    }

    private static Map<String, Long> calls(StandIns standIns) {
        Map<String, Long> calls = new HashMap<>();
        for (String name : List.of("cuCtxSetCurrent", "cuLaunchKernel", "cuGraphLaunch", "*")) {
            calls.put(name, standIns.calls(name));
        }
        return calls;
    }

    private static float[] gradients(
            CudaBackend backend, ModelMemory model, Steps steps, BatchStream stream, int batch) {
        model.gradients().clear();
        steps.forBatch(batch).run(stream, 0, 0, 1, () -> {});
        backend.metrics().read();
        float[] gradients = new float[Math.toIntExact(model.gradients().elements())];
        model.gradients().read(0, gradients);
        return gradients;
    }
}
