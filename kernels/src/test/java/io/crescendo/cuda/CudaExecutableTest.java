package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import jcuda.driver.JCudaDriver;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the contract does not ask: no allocation, one launch, memory that moves, feeds of any size, two threads. */
@NullMarked
@Tag("cuda")
class CudaExecutableTest {
    private static final int MAPS_MEMORY = 102; // CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED

    private static final int NOT_SUPPORTED = 801;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);
    private final NetworkCase network = NetworkCase.networks(random).get(0);
    private CudaTestEnvironment cuda = CudaTestEnvironment.open();

    @BeforeEach
    void reset() {
        cuda = CudaTestEnvironment.open();
    }

    private CudaBackend open() {
        return new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
    }

    @Test
    void replayAndUpdateAllocateNothing() {
        try (CudaBackend backend = open();
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed);
                UpdateKernel update = backend.prepareUpdate(
                        new UpdateRule.Momentum(), rig.model, rig.program.parameters(), p -> true)) {
            Feed feed = Rig.feed(random, network, network.batch());
            UpdateScalars scalars = new UpdateScalars(1e-3, 0.9, 1.0 / network.batch(), 1e-4, 1);
            rig.executable.run(feed); // records
            long bytes = Rig.allocatedBytes(() -> {
                for (int i = 0; i < 3; i++) {
                    rig.executable.run(feed);
                    update.apply(scalars);
                }
            });
            assertEquals(0, bytes, "bytes allocated on the Java heap by three steps; seed " + seed);
        }
    }

    @Test
    void aReplayIsOneLaunchAndNobodyWaits() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open();
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
            Feed feed = Rig.feed(random, network, network.batch());
            rig.executable.run(feed);
            List<String> counted = List.of(
                    "cuGraphLaunch",
                    "cuLaunchKernel",
                    "cuGraphInstantiateWithFlags",
                    "cuStreamSynchronize",
                    "cuMemAlloc_v2",
                    "cuMemCreate",
                    "cuMemHostAlloc");
            List<Long> before = counted.stream().map(standIns::calls).toList();
            for (int i = 0; i < 5; i++) {
                rig.executable.run(feed);
            }
            List<Long> made = new ArrayList<>();
            for (int i = 0; i < counted.size(); i++) {
                made.add(standIns.calls(counted.get(i)) - before.get(i));
            }
            // The kernel that is launched apart turns the images from NCHW into NHWC.
            assertEquals(List.of(5L, 5L, 0L, 0L, 0L, 0L, 0L), made, counted.toString());
        }
    }

    @Test
    void graphsChangeNothing() {
        float[] recorded = gradients(BackendOptions.DEFAULT);
        assertArrayEquals(recorded, gradients(BackendOptions.DEFAULT.withGraphs(false)), "seed " + seed);
        float sum = 0;
        for (float gradient : recorded) {
            sum += Math.abs(gradient);
        }
        assertTrue(sum > 0, "seed " + seed + ": there are gradients to compare");
    }

    /** Three runs on different feeds, the host ahead of the device. */
    private float[] gradients(BackendOptions options) {
        Random drawn = new Random(seed);
        // A fixed choice of algorithms, or the bits may differ for another reason.
        try (Backend backend = new CudaBackend(cuda.machine(), options.withDeterministic(true));
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
            for (int i = 0; i < 3; i++) {
                rig.executable.run(Rig.feed(drawn, network, network.batch()));
            }
            return Rig.read(rig.model.gradients());
        }
    }

    @Test
    void whatCannotBeRecordedIsSaidWithTheWayOut() {
        StandIns standIns = cuda.standIns();
        for (String call : List.of("cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags")) {
            try (CudaBackend backend = open();
                    Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
                Feed feed = Rig.feed(random, network, network.batch());
                standIns.fail(call, 1, NOT_SUPPORTED);
                String message = String.valueOf(assertThrows(CudaException.class, () -> rig.executable.run(feed))
                        .getMessage());
                assertTrue(standIns.failed(), call);
                assertTrue(message.contains("as a graph") && message.contains("--no-graphs"), call + ": " + message);
                rig.executable.run(feed); // the next attempt is free to succeed
                assertTrue(backend.metrics().read().loss() > 0);
            }
            assertEquals("", standIns.problem() + standIns.leaks(), call);
        }
    }

    /** By waiting for the whole device, on any thread of the process. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void aRecordingThatOthersSpoilIsMadeAgain(int times) {
        StandIns standIns = cuda.standIns();
        standIns.loud(false);
        try (CudaBackend backend = open()) {
            int[] launched = {0};
            Replay.Item meeting = new Replay.Item(
                    lane -> {
                        if (launched[0]++ > 0 && launched[0] <= 1 + times) { // it was run, and is recorded
                            CompletableFuture.runAsync(() -> {
                                        backend.device().enter();
                                        assertThrows(jcuda.CudaException.class, JCudaDriver::cuCtxSynchronize);
                                    })
                                    .join();
                        }
                    },
                    "a meeting");
            try (Replay replay = new Replay(
                    backend, "a step", List.of(meeting, backend.metrics().taking()))) {
                if (times < 3) {
                    replay.launch();
                    assertEquals(2 + times, launched[0]);
                    replay.launch();
                    assertEquals(2 + times, launched[0], "it is a graph");
                } else {
                    String message = String.valueOf(
                            assertThrows(CudaException.class, replay::launch).getMessage());
                    assertTrue(message.contains("INVALIDATED") && message.contains("--no-graphs"), message);
                }
                backend.device().await();
            }
        }
        assertTrue(standIns.problem().contains("cuCtxSynchronize waits for the device"), standIns.problem());
        assertEquals("", standIns.leaks());
    }

    @Test
    void whereMemoryCannotBeMappedProgramsAreRecordedAgain() {
        StandIns standIns = cuda.standIns();
        float[] expected = gradients(BackendOptions.DEFAULT);
        standIns.attribute(MAPS_MEMORY, 0);
        long before = standIns.calls("cuStreamBeginCapture_v2");
        Random drawn = new Random(seed);
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withDeterministic(true));
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
            rig.executable.run(Rig.feed(drawn, network, network.batch()));
            backend.workspace().reserve(3 * rig.plan.totalBytes());
            assertEquals(3 * rig.plan.totalBytes(), backend.workspace().capacityBytes());
            rig.executable.run(Rig.feed(drawn, network, network.batch()));
            backend.workspace().shrink(0);
            String refused = String.valueOf(assertThrows(
                            IllegalStateException.class,
                            () -> rig.executable.run(Rig.feed(new Random(), network, network.batch())))
                    .getMessage());
            assertTrue(refused.contains("reserve them"), refused);
            backend.workspace().reserve(rig.plan.totalBytes());
            rig.executable.run(Rig.feed(drawn, network, network.batch()));
            assertArrayEquals(expected, Rig.read(rig.model.gradients()), "seed " + seed);
            assertEquals(3, standIns.calls("cuStreamBeginCapture_v2") - before, "recordings");
        }
        assertEquals("", standIns.problem() + standIns.leaks());
    }

    @Test
    void feedsLargerThanTheStagingBuffersArriveWhole() {
        int elements = 4_300_001; // 17.2 MB: five pieces, of which four may be on their way
        FloatBuffer images = ByteBuffer.allocateDirect(Float.BYTES * elements)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        try (CudaBackend backend = open()) {
            Staging staging = backend.staging();
            staging.reserve(8 + (long) Float.BYTES * elements);
            int[] slots = new int[2];
            for (int run = 0; run < slots.length; run++) {
                for (int i = 0; i < elements; i++) {
                    images.put(i, i * (run + 1));
                }
                slots[run] = staging.begin();
                staging.putLong(1L << 40);
                staging.putFloats(images, elements);
                staging.finish();
                staging.release();
                // What happens to the feed now must not matter.
                images.put(0, -1).put(elements - 1, -1);
            }
            float[] read = new float[elements];
            for (int run = 0; run < slots.length; run++) {
                long address = staging.address(slots[run]);
                assertEquals(1L << 40, backend.transfer().fetch(address, 8).getLong(0));
                backend.transfer().read(address + 8, read);
                for (int i = 0; i < elements; i++) {
                    if (read[i] != (float) i * (run + 1)) {
                        assertEquals((float) i * (run + 1), read[i], "run " + run + ", element " + i);
                    }
                }
            }
        }
    }

    @Test
    void anotherThreadMayLowerWhileThisOneRuns() {
        float[] expected = gradients(BackendOptions.DEFAULT);
        Random drawn = new Random(seed);
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withDeterministic(true));
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
            CompletableFuture<Integer> lowered = CompletableFuture.supplyAsync(() -> {
                int programs = 0;
                for (int batch = 1; batch <= 4; batch++) {
                    Program other = network.withBatch(batch * 3, 3).training(backend.fusions());
                    try (LoweredProgram made = backend.lower(other)) {
                        programs += made.requirements()
                                                .bytes(other.ops()
                                                        .get(0)
                                                        .outputs()
                                                        .get(0))
                                        > 0
                                ? 1
                                : 0;
                    }
                }
                return programs;
            });
            for (int i = 0; i < 3; i++) {
                rig.executable.run(Rig.feed(drawn, network, network.batch()));
            }
            assertEquals(4, lowered.join());
            assertArrayEquals(expected, Rig.read(rig.model.gradients()), "seed " + seed);
        }
    }

    @Test
    void feedsThatDoNotFitAreRefused() {
        try (CudaBackend backend = open();
                Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
            int batch = network.batch();
            Feed good = Rig.feed(random, network, batch);
            Feed tooFew = new Feed(good.images(), good.labels(), batch - 1, 0, seed);
            refused(batch + " samples, but the feed has " + (batch - 1), () -> rig.executable.run(tooFew));
            Feed onHeap = new Feed(FloatBuffer.allocate(good.images().capacity()), good.labels(), batch, 0, seed);
            refused("direct buffer", () -> rig.executable.run(onHeap));
            FloatBuffer seven =
                    ByteBuffer.allocateDirect(28).order(ByteOrder.nativeOrder()).asFloatBuffer();
            refused("images hold 7 numbers", () -> rig.executable.run(new Feed(seven, good.labels(), batch, 0, seed)));
            good.labels().put(batch - 1, network.classes());
            refused(
                    "sample " + (batch - 1) + " of the feed has label " + network.classes(),
                    () -> rig.executable.run(good));
        }
    }

    private static void refused(String part, Runnable action) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), "'" + message + "' should contain '" + part + "'");
    }

    @Test
    void whatWasClosedIsRefused() {
        try (CudaBackend backend = open()) {
            Rig rig = new Rig(backend, network.training(backend.fusions()), seed);
            UpdateKernel update =
                    backend.prepareUpdate(new UpdateRule.Sgd(), rig.model, rig.program.parameters(), p -> true);
            rig.executable.close();
            Feed feed = Rig.feed(random, network, network.batch());
            assertThrows(IllegalStateException.class, () -> rig.executable.run(feed));
            rig.close();
            assertThrows(IllegalStateException.class, () -> update.apply(new UpdateScalars(0.1, 0, 1, 0, 1)));
            assertThrows(IllegalStateException.class, () -> rig.model.weights().read(0, new float[1]));
            update.close();
        }
    }
}
