package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.Rig;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the backend does when the device refuses something: any call, or work that had long been accepted. */
@NullMarked
class CudaFailuresTest {
    /** {@code -Dcrescendo.cuda.everyCall=true} walks through all calls. */
    private static final String EVERY_CALL = "crescendo.cuda.everyCall";

    private static final int STRIDE = 11;
    private static final int BATCH = 6;
    private static final int OUT_OF_MEMORY = 2;
    private static final int ECC_UNCORRECTABLE = 214;
    private static final int ILLEGAL_ADDRESS = 700;
    private static final int LAUNCH_FAILED = 719;
    private static final int LAUNCH_OUT_OF_RESOURCES = 701;
    private static final int NOT_SUPPORTED = 801;
    private static final Dataset IMAGES = new RandomDataset(
            20, CudaNetwork.CLASSES, new ImageShape(CudaNetwork.CHANNELS, CudaNetwork.SIZE, CudaNetwork.SIZE), 11);

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private CudaTestEnvironment cuda = CudaTestEnvironment.open();
    private StandIns standIns = cuda.standIns();

    @BeforeEach
    void reset() {
        cuda = CudaTestEnvironment.open();
        standIns = cuda.standIns();
    }

    @AfterEach
    void nothingIsLeft() {
        standIns.fail("*", 0, 0);
        assertEquals("", standIns.leaks());
    }

    private CudaBackend open(BackendOptions options) {
        return new CudaBackend(cuda.machine(), options);
    }

    /** Two steps that are fed and two on images of the device, from nothing to everything closed again; the weights. */
    private float[] steps(BackendOptions options) {
        try (CudaBackend backend = open(options);
                BatchStream stream = new BatchStream(IMAGES, Normalization.of(IMAGES), Augmentation.NONE, seed)) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            Optional<ResidentImages> offered = backend.residentImages(stream.source());
            try (ResidentImages images = offered.orElse(null);
                    ModelMemory model = ModelMemory.allocate(backend, program, seed);
                    UpdateKernel update =
                            backend.prepareUpdate(new UpdateRule.Momentum(), model, program.parameters(), p -> true);
                    Rig rig = new Rig(backend, program, model)) {
                for (int i = 1; i <= 2; i++) {
                    rig.executable.run(CudaNetwork.feed(BATCH, seed + i));
                    StepMetrics.Reading reading = backend.metrics().take();
                    update.apply(new UpdateScalars(0.05, 0.9, 1.0 / BATCH, 1e-3, i));
                    assertTrue(reading.sums().loss() > 0);
                }
                for (int i = 3; i <= 4; i++) {
                    UpdateScalars scalars = new UpdateScalars(0.05, 0.9, 1.0 / BATCH, 1e-3, i);
                    if (images != null) {
                        assertTrue(images.update(rig.executable, 0, i, BATCH, update, scalars)
                                        .sums()
                                        .loss()
                                > 0);
                    } else { // there was no memory for them
                        Batch batch = stream.next(0, i, BATCH);
                        rig.executable.run(new Feed(batch.images(), batch.labels(), BATCH, batch.firstSample(), seed));
                        assertTrue(backend.metrics().take().sums().loss() > 0);
                        update.apply(scalars);
                    }
                }
                rig.executable.read(program.kept().get(0), new float[BATCH * CudaNetwork.CLASSES]);
                return Rig.read(model.weights());
            }
        }
    }

    /** Where a launch is refused in the middle of a step, the next steps have their own numbers and readings still. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void afterAStepThatFailedHalfWayNumbersAndReadingsAreRight(boolean graphs) {
        BackendOptions options = BackendOptions.DEFAULT.withGraphs(graphs).withDeterministic(true);
        try (CudaBackend backend = open(options);
                BatchStream stream = new BatchStream(IMAGES, Normalization.of(IMAGES), Augmentation.NONE, seed);
                ResidentImages images = backend.residentImages(stream.source()).orElseThrow()) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            UpdateScalars scalars = new UpdateScalars(0.05, 0.9, 1.0 / BATCH, 1e-3, 1);
            UpdateScalars others = new UpdateScalars(0.7, 0.1, 1.0, 0, 9);
            List<Object> expected = new ArrayList<>();
            int refused = 0;
            for (int number = 0; expected.isEmpty() || refused == number - 1; number++) {
                // A new program each time: its first step launches one by one.
                try (Rig rig = new Rig(backend, program, seed);
                        UpdateKernel update = backend.prepareUpdate(
                                new UpdateRule.Momentum(), rig.model, program.parameters(), p -> true)) {
                    if (number > 0) {
                        standIns.reset();
                        standIns.fail("cuLaunchKernel", number, LAUNCH_OUT_OF_RESOURCES);
                        try {
                            images.update(rig.executable, 2, 5, BATCH, update, others);
                        } catch (CudaException e) {
                            refused++;
                        }
                        standIns.fail("*", 0, 0);
                        try (ModelMemory fresh = ModelMemory.allocate(backend, program, seed)) {
                            rig.model.weights().write(0, Rig.read(fresh.weights()));
                            rig.model.statistics().write(0, Rig.read(fresh.statistics()));
                        }
                        rig.model.gradients().clear();
                        update.state().forEach(DeviceMemory::clear);
                        backend.metrics().clear();
                    }
                    List<Object> actual = new ArrayList<>();
                    for (int i = 0; i < 2; i++) {
                        actual.add(images.update(rig.executable, i, 3L * i, BATCH, update, scalars)
                                .sums());
                    }
                    actual.add(Arrays.toString(Rig.read(rig.model.weights())));
                    if (expected.isEmpty()) {
                        expected.addAll(actual);
                    }
                    assertEquals(expected, actual, "launch " + number + " was refused, seed " + seed);
                }
            }
            assertTrue(refused > 15, refused + " launches were refused");
        }
        assertEquals("", standIns.problem());
    }

    /**
     * Walks through all calls that these steps make: each of them fails once. Either this shows as an exception that
     * says what could not be done, or the steps give what they always give; and in any case nothing stays behind.
     */
    @ParameterizedTest
    @CsvSource({"true, 2", "false, 2", "true, 719", "false, 719"})
    void anyCallMayFail(boolean graphs, int status) {
        BackendOptions options = BackendOptions.DEFAULT
                .withGraphs(graphs)
                .withDeterministic(true)
                .withPrecision(graphs ? Precision.BF16 : Precision.FP32);
        float[] expected = steps(options);
        int thrown = 0;
        // Every call in turn would take minutes; all have theirs in the course of some runs, or on request.
        int stride = Boolean.getBoolean(EVERY_CALL) ? 1 : STRIDE;
        long number = 1 + Math.floorMod(seed, (long) stride);
        List<String> complaints = new ArrayList<>();
        for (boolean failed = true; failed && complaints.size() < 5; number += stride) {
            standIns.reset();
            String before = standIns.leaks(); // what a process loses once is not complained of twice
            standIns.fail("*", number, status);
            RuntimeException failure = null;
            float[] weights = {};
            try {
                weights = steps(options);
            } catch (RuntimeException e) {
                failure = e;
            }
            failed = standIns.failed();
            standIns.fail("*", 0, 0);
            thrown += failure == null ? 0 : 1;
            String complaint = complaint(failure, failed, expected, weights)
                    + (standIns.leaks().equals(before) ? "" : "left behind: " + standIns.leaks());
            if (!complaint.isEmpty()) {
                complaints.add("call " + number + ": " + complaint);
            }
        }
        assertEquals(List.of(), complaints, "seed " + seed + ", status " + status);
        assertTrue(thrown > number / stride / 4, thrown + " failures were noticed in " + number + " calls");
    }

    /** What is wrong after a run in which a call failed, or not; empty if nothing is. */
    private String complaint(@Nullable RuntimeException failure, boolean failed, float[] expected, float[] weights) {
        StringBuilder text = new StringBuilder(standIns.problem());
        if (failure == null) {
            text.append(Arrays.equals(expected, weights) ? "" : "no exception, but other weights");
        } else if (!failed) {
            text.append("an exception although nothing failed: ").append(failure);
        } else if (!(failure instanceof CudaException
                || failure instanceof CudaLibraryException
                || failure instanceof DeviceMemoryException)) {
            StringWriter trace = new StringWriter();
            failure.printStackTrace(new PrintWriter(trace));
            text.append("a bare exception: ").append(trace);
        }
        return text.toString();
    }

    @Test
    void tooLittleMemoryIsSaidWithWhatWouldFit() {
        try (CudaBackend backend = open(BackendOptions.DEFAULT)) {
            Program small = CudaNetwork.training(4, backend.fusions());
            Program large = CudaNetwork.training(4096, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, small, seed);
                    Rig rig = new Rig(backend, small, model)) {
                long held = backend.workspace().capacityBytes();
                // Enough for the images and what measuring takes, not for the activations.
                standIns.memory(standIns.usedBytes() + (6L << 20));
                DeviceMemoryException refused =
                        assertThrows(DeviceMemoryException.class, () -> new Rig(backend, large, model));
                String message = String.valueOf(refused.getMessage());
                for (String part : new String[] {
                    "out of memory",
                    "the training program with micro-batch 4096",
                    "largest values",
                    "(4096, 8, 9, 9)",
                    "--memory-budget",
                    "CUDA_ERROR_OUT_OF_MEMORY"
                }) {
                    assertTrue(message.contains(part), message + "\nshould contain: " + part);
                }
                assertEquals(held, backend.workspace().capacityBytes(), "as large as before");
                rig.executable.run(CudaNetwork.feed(4, seed)); // and as usable
                assertTrue(backend.metrics().read().loss() > 0);
            }
        }
    }

    @Test
    void weightsThatDoNotFitAreSaidWithWhatIsFree() {
        try (CudaBackend backend = open(BackendOptions.DEFAULT)) {
            standIns.memory(standIns.usedBytes() + 500);
            DeviceMemoryException refused = assertThrows(DeviceMemoryException.class, () -> backend.allocate(192));
            String message = String.valueOf(refused.getMessage());
            assertTrue(
                    message.contains(
                            "out of memory on " + backend.device().properties().name()),
                    message);
            assertTrue(message.contains("768 bytes for a flat array of 192 numbers"), message);
            assertTrue(message.contains("(500 bytes) of the device's "), message);
            assertTrue(message.contains("train a smaller network"), message);
            assertEquals(768, refused.requestedBytes());
            assertTrue(refused.isOfPack());
        }
    }

    /** Of whatever the packs are for, the first that does not fit is named, and nothing of it stays. */
    @Test
    void thePackThatDoesNotFitIsNamed() {
        try (CudaBackend backend = open(BackendOptions.DEFAULT)) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            UpdateRule rule = new UpdateRule.Adam(0.999, 1e-8);
            long before = standIns.usedBytes();
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed)) {
                long held = standIns.usedBytes();
                standIns.memory(held + 500);
                requireRefused(
                        "for the optimizer's state",
                        () -> backend.prepareUpdate(rule, model, program.parameters(), p -> true));
                requireRefused("for gradients before a micro-batch", () -> backend.gradientNorms(model));
                assertEquals(held, standIns.usedBytes());
            }
            standIns.memory(before + 500);
            requireRefused(
                    "no memory for the model's weights: out of memory",
                    () -> ModelMemory.allocate(backend, program, seed));
        }
    }

    private static void requireRefused(String part, Executable call) {
        DeviceMemoryException refused = assertThrows(DeviceMemoryException.class, call);
        assertTrue(String.valueOf(refused.getMessage()).contains(part), refused.getMessage());
        assertTrue(refused.isOfPack());
    }

    /** A graph needs memory of the driver's; what it launches does not, so the steps go on and give the same. */
    @ParameterizedTest
    @CsvSource({
        "cuStreamEndCapture, 1",
        "cuGraphInstantiateWithFlags, 1",
        "cuGraphInstantiateWithFlags, 2",
        "cuGraphLaunch, 1"
    })
    void withoutMemoryForAGraphTheStepsRunAllTheSame(String call, int number) {
        BackendOptions options = BackendOptions.DEFAULT.withDeterministic(true);
        float[] expected = steps(options);
        standIns.fail(call, number, OUT_OF_MEMORY);
        float[] actual = steps(options);
        assertTrue(standIns.failed());
        assertArrayEquals(expected, actual, call);
        assertEquals("", standIns.problem());
    }

    /** Trying at every step would make each of them take twice as long, for as long as there is no memory. */
    @ParameterizedTest
    @ValueSource(strings = {"cuGraphInstantiateWithFlags", "cuGraphLaunch"})
    void aGraphWithoutMemoryIsTriedMoreAndMoreRarely(String call) {
        try (CudaBackend backend = open(BackendOptions.DEFAULT)) {
            Replay replay =
                    new Replay(backend, "a step", List.of(backend.metrics().taking()));
            if (call.equals("cuGraphLaunch")) {
                replay.launch(); // records it
            }
            List<Integer> tried = new ArrayList<>();
            for (int time = 1; time <= 40; time++) {
                standIns.fail(call, time < 20 ? 1 : 0, OUT_OF_MEMORY);
                long before = standIns.calls(call);
                replay.launch();
                if (standIns.calls(call) > before) {
                    tried.add(time);
                }
            }
            assertEquals(List.of(1, 3, 6, 11, 20), tried.subList(0, 5), "after 1, 2, 4 and 8 times without");
            long graphs = standIns.calls("cuGraphLaunch");
            replay.launch();
            assertEquals(graphs + 1, standIns.calls("cuGraphLaunch"), "from then on it is a graph");
            backend.device().await();
            replay.close();
        }
    }

    /** Each library has its own word for it. */
    @ParameterizedTest
    @CsvSource({"cudnnConvolutionForward, ALLOCATION_FAILED", "cublasGemmEx, CUBLAS_STATUS_ALLOC_FAILED"})
    void aLibraryWithoutMemoryIsUnderstood(String call, String status) {
        try (CudaBackend backend = open(BackendOptions.DEFAULT.withGraphs(false));
                Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed)) {
            standIns.fail(call, 1, OUT_OF_MEMORY);
            DeviceMemoryException failure = assertThrows(
                    DeviceMemoryException.class, () -> rig.executable.run(CudaNetwork.feed(BATCH, seed)), call);
            String message = String.valueOf(failure.getMessage());
            for (String part : List.of("cannot run operation ", status, "of the device's ", "--memory-budget ")) {
                assertTrue(message.contains(part), message + "\nshould contain: " + part);
            }
            rig.executable.run(CudaNetwork.feed(BATCH, seed));
            assertTrue(backend.metrics().read().loss() > 0);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {ILLEGAL_ADDRESS, LAUNCH_FAILED, ECC_UNCORRECTABLE})
    void workThatFailsIsNamed(int status) {
        standIns.loud(false);
        for (boolean graphs : new boolean[] {false, true}) {
            CudaException failure = failureInWork(graphs, "max_pool_f32", status);
            String message = String.valueOf(failure.getMessage());
            assertTrue(message.contains("CUDA_ERROR"), message);
            assertTrue(failure.fatal(), message);
            assertEquals(graphs && status != ECC_UNCORRECTABLE, message.contains("--resume DIR --no-graphs"), message);
            if (!graphs) {
                assertTrue(message.contains("pool") && message.contains("(6, 8, 9, 9)"), message);
            }
        }
    }

    /** The first step has no graph yet: the operation is known, and nothing more is to be learned without graphs. */
    @Test
    void whereTheOperationIsNamedNoWayToNameItIsOffered() {
        standIns.loud(false);
        try (CudaBackend backend = open(BackendOptions.DEFAULT);
                Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed)) {
            standIns.fail("cuLaunchKernel", 3, ILLEGAL_ADDRESS);
            CudaException failure =
                    assertThrows(CudaException.class, () -> rig.executable.run(CudaNetwork.feed(BATCH, seed)));
            String message = String.valueOf(failure.getMessage());
            assertTrue(failure.fatal() && message.startsWith("cannot run operation "), message);
            assertFalse(message.contains("--no-graphs"), message);
        }
    }

    /** A call that a library refuses at once: with and without graphs the operation is known, and nothing is lost. */
    @ParameterizedTest
    @CsvSource({
        "cudnnConvolutionForward, 5000, Conv2d",
        "cudnnConvolutionBackwardData, 5000, Conv2dInputGradient",
        "cudnnConvolutionBackwardFilter, 2000, Conv2dWeightGradient",
        "cublasGemmEx, 13, Dense",
        "cuLaunchKernel, 701, (6, "
    })
    void callsThatFailAreNamedWithShapes(String call, int status, String operation) {
        standIns.loud(false);
        for (boolean graphs : new boolean[] {false, true}) {
            try (CudaBackend backend = open(BackendOptions.DEFAULT.withGraphs(graphs));
                    Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed)) {
                // Of launches the first is none of an operation's: it brings the images.
                standIns.fail(call, call.equals("cuLaunchKernel") ? 3 : 1, status);
                CudaException failure = assertThrows(
                        CudaException.class, () -> rig.executable.run(CudaNetwork.feed(BATCH, seed)), call);
                assertTrue(standIns.failed(), call);
                standIns.fail("*", 0, 0);
                String message = String.valueOf(failure.getMessage());
                assertTrue(message.contains(operation) && message.contains("(6, "), message);
                assertFalse(failure.fatal(), message);
                rig.executable.run(CudaNetwork.feed(BATCH, seed));
                assertTrue(backend.metrics().read().loss() > 0);
            }
        }
    }

    private CudaException failureInWork(boolean graphs, String work, int status) {
        try (CudaBackend backend = open(BackendOptions.DEFAULT.withGraphs(graphs));
                Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed)) {
            rig.executable.run(CudaNetwork.feed(BATCH, seed));
            backend.metrics().read();
            standIns.fail("run:" + work, 1, status);
            CudaException failure = assertThrows(CudaException.class, () -> {
                rig.executable.run(CudaNetwork.feed(BATCH, seed));
                backend.metrics().read();
            });
            assertTrue(standIns.failed());
            // Nothing works any more, and says why.
            CudaException after =
                    assertThrows(CudaException.class, () -> rig.executable.run(CudaNetwork.feed(BATCH, seed)));
            assertTrue(String.valueOf(after.getMessage()).contains("failed before"), after.getMessage());
            return failure;
        }
    }

    @Test
    void afterAFailureTheProcessCanOpenTheDeviceAgain() {
        standIns.loud(false);
        assertNotNull(failureInWork(true, "max_pool_f32", LAUNCH_FAILED));
        standIns.reset();
        assertTrue(steps(BackendOptions.DEFAULT).length > 0);
        assertEquals("", standIns.problem());
    }

    /** Each way of computing a convolution may be unsupported; then another is taken, the last being a kernel. */
    @Test
    void algorithmsThatAreNotSupportedAreLeftOut() {
        BackendOptions options = BackendOptions.DEFAULT.withGraphs(false);
        float[] expected = steps(options);
        for (String call : new String[] {
            "cudnnGetConvolutionForwardWorkspaceSize",
            "cudnnGetConvolutionBackwardDataWorkspaceSize",
            "cudnnGetConvolutionBackwardFilterWorkspaceSize"
        }) {
            for (int number = 1; number <= 3; number++) {
                standIns.reset();
                standIns.fail(call, number, NOT_SUPPORTED);
                float[] weights = steps(options);
                // Another algorithm rounds differently, by a few units in the last place of the sums.
                for (int i = 0; i < weights.length; i++) {
                    assertEquals(expected[i], weights[i], 1e-5, call + " " + number + ", weight " + i);
                }
                assertEquals("", standIns.problem());
            }
        }
    }

    /** Sums come without a call, but not to look at them is not to learn of a failure either. */
    @Test
    void whoeverLooksForSumsLearnsThatTheDeviceFailed() {
        standIns.loud(false);
        cuda.schedule(StandIns.Schedule.LAZY, seed); // they would come otherwise
        CudaBackend backend = open(BackendOptions.DEFAULT);
        Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed);
        rig.executable.run(CudaNetwork.feed(BATCH, seed));
        StepMetrics.Reading reading = backend.metrics().take();
        standIns.fail("cuStreamQuery", 1, ECC_UNCORRECTABLE);
        CudaException failure = assertThrows(CudaException.class, () -> {
            for (int i = 0; i < 100; i++) {
                assertFalse(reading.isDone());
            }
        });
        assertTrue(String.valueOf(failure.getMessage()).contains("loss and hits"), failure.getMessage());
        rig.close();
        backend.close();
    }

    @Test
    void aFailedBackendClosesQuietly() {
        standIns.loud(false);
        CudaBackend backend = open(BackendOptions.DEFAULT);
        Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed);
        standIns.fail("cuGraphLaunch", 1, ECC_UNCORRECTABLE);
        rig.executable.run(CudaNetwork.feed(BATCH, seed)); // records
        RuntimeException failure = null;
        try {
            rig.executable.run(CudaNetwork.feed(BATCH, seed));
        } catch (CudaException e) {
            failure = e;
        }
        assertNotNull(failure);
        rig.close();
        backend.close();
        assertFalse(
                String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT).contains("close"));
    }
}
