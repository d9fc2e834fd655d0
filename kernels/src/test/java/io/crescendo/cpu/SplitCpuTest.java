package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Feed;
import io.crescendo.backend.Layers;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.optim.Optimizer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** A batch in pieces beside the same batch whole, on the same backend: nothing but the order of sums may differ. */
class SplitCpuTest {
    /** How far a tensor's elements may lie apart, over its largest. */
    private static final double RELATIVE = 1e-5;

    private static final int GHOST_BATCH = 4;
    private static final int BATCH = 23;

    /** Whole ghost batches, the last one ragged as the batch's end is. */
    private static final List<List<Integer>> SPLITS =
            List.of(List.of(12, 11), List.of(16, 7), List.of(8, 8, 7), List.of(20, 3), List.of(4, 4, 4, 4, 4, 3));

    /**
     * The same numbers every time: where an input of ReLU lies within rounding of zero, the two may fall on different
     * sides of the kink, and a draw in a hundred would.
     */
    private static final long[] SEEDS = {1, 2, 3};

    /** Convolutions of 16 to 64 channels, with statistics, an addend, and ReLU before, after and within. */
    private static Value network(Layers l, Value images) {
        Value stem = l.conv(images, 16, 3, 1);
        Value wider = l.conv(l.tape().relu(l.norm(stem)), 32, 3, 1);
        Value inner = l.conv(l.tape().relu(l.norm(wider)), 16, 3, 1);
        Value added = l.tape().relu(l.tape().add(l.conv(inner, 32, 3, 1), wider));
        // 64 outputs: small pieces are shared out by outputs, large ones by tiles.
        Value most = l.tape().relu(l.tape().add(l.conv(added, 64, 3, 1), l.conv(wider, 64, 1, 1)));
        Value padded = l.conv(most, 16, new Window(3, 3, 1, 1, 0, 2, 1, 1), 1, false);
        return l.tape().globalAveragePool(l.conv(padded, 16, 3, 2));
    }

    private static final NetworkCase CASE =
            new NetworkCase("16 to 64 channels", BATCH, GHOST_BATCH, 3, 9, 11, 5, 0.1, SplitCpuTest::network);

    @Test
    void directConvolutionsGiveTheUnsplitGradients() {
        splitsEqualWhole(Sharding.TARGET_BYTES, 0);
    }

    @Test
    void convolutionsByTilesGiveTheUnsplitGradients() {
        splitsEqualWhole(Sharding.TARGET_BYTES, Double.POSITIVE_INFINITY);
    }

    @Test
    void smallShardsGiveTheUnsplitGradients() {
        splitsEqualWhole(1, Double.POSITIVE_INFINITY);
    }

    private static void splitsEqualWhole(long shardBytes, double winogradBelow) {
        try (Backend backend = new CpuBackend(new BackendOptions(2), shardBytes, winogradBelow)) {
            for (long seed : SEEDS) {
                Feed feed = Rig.feed(new Random(seed), CASE, BATCH);
                Map<String, float[]> whole = update(backend, feed, List.of(BATCH), seed);
                for (List<Integer> sizes : SPLITS) {
                    Map<String, float[]> split = update(backend, feed, sizes, seed);
                    whole.forEach((name, expected) -> close(
                            "seed " + seed + ", " + sizes + ": " + name,
                            expected,
                            split.getOrDefault(name, new float[0])));
                }
            }
        }
    }

    private static void close(String what, float[] expected, float[] actual) {
        assertEquals(expected.length, actual.length, what);
        double largest = 0;
        double apart = 0;
        for (int i = 0; i < expected.length; i++) {
            assertTrue(Float.isFinite(actual[i]), what);
            largest = Math.max(largest, Math.abs(expected[i]));
            apart = Math.max(apart, Math.abs((double) actual[i] - expected[i]));
        }
        assertTrue(apart <= RELATIVE * largest, what + ": " + apart + " apart, the largest is " + largest);
    }

    /** Gradients, statistics and updated weights, tensor by tensor. */
    private static Map<String, float[]> update(Backend backend, Feed feed, List<Integer> sizes, long seed) {
        Program layout = CASE.training(BATCH, backend.fusions());
        Optimizer optimizer = Optimizer.momentum(1e-3);
        List<Rig> rigs = new ArrayList<>();
        try (ModelMemory model = ModelMemory.allocate(backend, layout, seed);
                UpdateKernel kernel =
                        backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay())) {
            int first = 0;
            for (int size : sizes) {
                Rig rig = new Rig(backend, CASE.training(size, backend.fusions()), model);
                rigs.add(rig);
                rig.executable.run(Rig.part(feed, first, size));
                first += size;
            }
            Map<String, float[]> tensors = new LinkedHashMap<>();
            put(tensors, "gradient of ", layout.parameters(), Rig.read(model.gradients()));
            put(tensors, "statistic ", layout.statistics(), Rig.read(model.statistics()));
            kernel.apply(new UpdateScalars(0.05, 0.9, 1.0 / BATCH, 1e-3, 1));
            put(tensors, "weight ", layout.parameters(), Rig.read(model.weights()));
            return tensors;
        } finally {
            rigs.forEach(Rig::close);
        }
    }

    private static void put(Map<String, float[]> tensors, String kind, ParameterPack pack, float[] all) {
        for (Parameter parameter : pack.parameters()) {
            tensors.put(
                    kind + parameter.name(), Arrays.copyOfRange(all, (int) parameter.offset(), (int) parameter.end()));
        }
    }

    /** Tensors past 2 GiB are not done by tiles; pieces of the batch must not be done otherwise than in the whole. */
    @Test
    void whatIsChosenDoesNotDependOnTheSplit() {
        int ghostBatch = 40; // 2.5 GiB, while the ragged end is below 2 GiB
        NetworkCase large = new NetworkCase("large images", 91, ghostBatch, 3, 1024, 1024, 2, 0, (l, x) -> {
            Value y = l.norm(l.conv(l.conv(x, 16, 1, 1), 16, 3, 1));
            return l.tape().globalAveragePool(l.conv(y, 16, 3, 1));
        });
        try (Backend backend = new CpuBackend(new BackendOptions(2), Sharding.TARGET_BYTES, Double.POSITIVE_INFINITY)) {
            long[] whole = scratch(backend, large, 91);
            long[] ghosts = scratch(backend, large, 80);
            long[] rest = scratch(backend, large, 11);
            assertTrue(!Arrays.equals(ghosts, rest), "one way or the other");
            for (int op = 0; op < whole.length; op++) {
                assertEquals(Math.max(ghosts[op], rest[op]), whole[op], "operation " + op);
            }
        }
    }

    /** Scratch bytes, which tell one implementation from another. */
    private static long[] scratch(Backend backend, NetworkCase network, int samples) {
        Program program = network.training(samples, backend.fusions());
        try (LoweredProgram lowered = backend.lower(program)) {
            long[] bytes = new long[program.ops().size()];
            for (int op = 0; op < bytes.length; op++) {
                bytes[op] = lowered.requirements().scratchBytes(op);
            }
            return bytes;
        }
    }
}
