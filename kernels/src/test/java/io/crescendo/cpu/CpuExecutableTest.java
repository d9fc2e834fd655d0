package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Feed;
import io.crescendo.backend.Rig;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the contract does not ask: no allocation, the same numbers each time, errors that say what to do. */
@NullMarked
class CpuExecutableTest {
    private static final int BATCH = 10;
    private static final int GHOST_BATCH = 4; // the last group has two samples
    private static final int CHANNELS = 3;
    private static final int SIZE = 12;
    private static final int CLASSES = 5;
    private static final int WIDTH = 32; // whole vector registers, as convolutions by tiles need

    /** Convolutions done directly, and by tiles wherever that is possible. */
    private static final double DIRECT = 0;

    private static final double TILES = Double.POSITIVE_INFINITY;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());

    /** A network with most kinds of operations, forward and backward. */
    private static Program program(Backend backend) {
        Tape tape = Tape.training(BATCH, GHOST_BATCH);
        Value x = tape.images(CHANNELS, SIZE, SIZE);
        x = tape.name("first").conv2d(x, weight(tape, WIDTH, CHANNELS, 3, 3), null, Window.square(3, 1, 1), 1);
        x = tape.relu(norm(tape.name("norm1"), x, WIDTH));
        Value shortcut = x;
        x = tape.name("second").conv2d(x, weight(tape, WIDTH, WIDTH, 3, 3), null, Window.square(3, 1, 1), 1);
        x = tape.relu(norm(tape.name("norm2"), tape.add(x, shortcut), WIDTH));
        x = tape.name("pool").maxPool(x, Window.square(2, 2, 0));
        x = tape.name("average").globalAveragePool(x);
        x = tape.name("dropout").dropout(tape.flatten(x), 0.25);
        tape.name("logits");
        Value bias = tape.parameter("bias", Shape.of(CLASSES), Role.BIAS, Initializer.constant(0));
        x = tape.keep(tape.dense(x, weight(tape, CLASSES, WIDTH), bias));
        tape.softmaxCrossEntropy(x, tape.labels(), 0.1);
        return tape.program(backend.fusions());
    }

    private static CpuBackend open(double winogradBelow) {
        return new CpuBackend(new BackendOptions(2), Sharding.TARGET_BYTES, winogradBelow);
    }

    private static Value weight(Tape tape, long... extents) {
        return tape.parameter("weight", Shape.of(extents), Role.WEIGHT, (shape, key, values) -> {
            Random random = new Random(key);
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (0.2 * random.nextGaussian());
            }
        });
    }

    private static Value norm(Tape tape, Value x, int channels) {
        Shape vector = Shape.of(channels);
        return tape.batchNorm(
                x,
                tape.parameter("scale", vector, Role.NORM_SCALE, Initializer.constant(1)),
                tape.parameter("shift", vector, Role.NORM_SHIFT, Initializer.constant(0)),
                tape.statistic("mean", vector, Role.RUNNING_MEAN, Initializer.constant(0)),
                tape.statistic("variance", vector, Role.RUNNING_VARIANCE, Initializer.constant(1)),
                1e-5,
                0.1);
    }

    private Feed feed() {
        return Rig.feed(new Random(seed), CHANNELS * SIZE * SIZE, CLASSES, BATCH);
    }

    @ParameterizedTest
    @ValueSource(doubles = {DIRECT, TILES})
    void replayAndUpdateAllocateNothing(double winogradBelow) {
        try (Backend backend = open(winogradBelow);
                Rig rig = new Rig(backend, program(backend), seed);
                UpdateKernel update = backend.prepareUpdate(
                        new UpdateRule.Momentum(), rig.model, rig.program.parameters(), p -> true)) {
            Feed feed = feed();
            UpdateScalars scalars = new UpdateScalars(0.01, 0.9, 1.0 / BATCH, 1e-4, 1);
            long bytes = Rig.allocatedBytes(() -> {
                for (int i = 0; i < 10; i++) {
                    rig.executable.run(feed);
                    update.apply(scalars);
                }
            });
            assertEquals(0, bytes, "bytes allocated on the Java heap by ten steps");
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {DIRECT, TILES})
    void theSameSeedGivesTheSameBits(double winogradBelow) {
        float[] first = gradients(winogradBelow);
        float[] second = gradients(winogradBelow);
        assertArrayEquals(first, second, "seed " + seed);
        float sum = 0;
        for (float gradient : first) {
            sum += Math.abs(gradient);
        }
        assertTrue(sum > 0, "seed " + seed + ": there are gradients to compare");
    }

    @Test
    void tilesRoundInTheirOwnWay() {
        float[] direct = gradients(DIRECT);
        float[] tiles = gradients(TILES);
        assertFalse(Arrays.equals(direct, tiles), "seed " + seed + ": convolutions by tiles were not used");
    }

    @ParameterizedTest
    @ValueSource(doubles = {DIRECT, TILES})
    void twoBackendsWorkSideBySideEachOnItsOwnThread(double winogradBelow)
            throws InterruptedException, ExecutionException {
        float[] alone = gradients(winogradBelow);
        ExecutorService callers = Executors.newFixedThreadPool(2);
        try {
            Callable<float[]> caller = () -> gradients(winogradBelow);
            for (Future<float[]> besideAnother : callers.invokeAll(List.of(caller, caller))) {
                assertArrayEquals(alone, besideAnother.get(), "seed " + seed);
            }
        } finally {
            callers.shutdown();
        }
    }

    private float[] gradients(double winogradBelow) {
        try (Backend backend = open(winogradBelow);
                Rig rig = new Rig(backend, program(backend), seed)) {
            rig.executable.run(feed());
            return Rig.read(rig.model.gradients());
        }
    }

    @Test
    void feedsThatDoNotFitAreRefused() {
        try (Backend backend = new CpuBackend(new BackendOptions(1));
                Rig rig = new Rig(backend, program(backend), seed)) {
            Feed good = feed();
            Feed tooFew = new Feed(good.images(), good.labels(), BATCH - 1, 0, seed);
            assertMessage("10 samples, but the feed has 9", () -> rig.executable.run(tooFew));
            Feed onHeap = new Feed(FloatBuffer.allocate(good.images().capacity()), good.labels(), BATCH, 0, seed);
            assertMessage("direct buffer", () -> rig.executable.run(onHeap));
            Feed tooShort = new Feed(Rig.direct(7).asFloatBuffer(), good.labels(), BATCH, 0, seed);
            assertMessage("images hold 7 numbers, but the program reads 4320", () -> rig.executable.run(tooShort));
            IntBuffer labels = Rig.direct(BATCH).asIntBuffer().put(3, CLASSES);
            Feed badLabel = new Feed(good.images(), labels, BATCH, 0, seed);
            assertMessage("sample 3 of the feed has label 5", () -> rig.executable.run(badLabel));
        }
    }

    @Test
    void whatWasClosedIsRefused() {
        try (Backend backend = new CpuBackend(new BackendOptions(1))) {
            Rig rig = new Rig(backend, program(backend), seed);
            UpdateKernel update =
                    backend.prepareUpdate(new UpdateRule.Sgd(), rig.model, rig.program.parameters(), p -> true);
            rig.executable.close();
            assertThrows(IllegalStateException.class, () -> rig.executable.run(feed()));
            rig.close();
            assertThrows(IllegalStateException.class, () -> update.apply(new UpdateScalars(0.1, 0, 1, 0, 1)));
            assertThrows(IllegalStateException.class, () -> rig.model.weights().read(0, new float[1]));
            update.close();
        }
    }

    private static void assertMessage(String part, Runnable action) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), "'" + message + "' should contain '" + part + "'");
    }

    @Test
    void itIsFoundByName() {
        try (Backend backend = Backends.open("cpu", new BackendOptions(1))) {
            assertEquals("cpu", backend.name());
            assertTrue(backend.description().startsWith("oneDNN 3."), backend.description());
            assertTrue(backend.description().endsWith("1 thread"), backend.description());
        }
    }
}
