package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.backend.StepMetrics;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Splitting a batch into micro-batches never changes the answer. */
class SplittingTest {
    private record Result(List<Double> gradients, List<Double> statistics, StepMetrics.Sums sums) {}

    @Test
    void anySplitGivesTheSameBits() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        List<NetworkCase> cases = new ArrayList<>(NetworkCase.operations(random));
        cases.addAll(NetworkCase.networks(random));
        for (NetworkCase any : cases) {
            int ghostBatch = 1 + random.nextInt(4);
            NetworkCase network = any.withBatch(2 + random.nextInt(12), ghostBatch); // often ends in a ragged group
            Feed feed = Rig.feed(random, network, network.batch());
            long weightSeed = random.nextLong();
            Result whole = run(network, feed, weightSeed, List.of(network.batch()));
            for (int round = 0; round < 3; round++) {
                List<Integer> split = split(network.batch(), ghostBatch, random);
                String what = "seed " + seed + ": " + network + " split into " + split;
                // Every gradient element receives one addition per sample, or per ghost group, in the same order.
                assertEquals(whole, run(network, feed, weightSeed, split), what);
            }
        }
    }

    @Test
    void splitsOfSharedWeightsDifferByRoundingOnly() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        // Two convolutions share one weight, so a split changes the order of their additions, and only that.
        NetworkCase network = new NetworkCase("shared weight", 9, 2, 3, 5, 5, 4, 0, (l, x) -> {
            Tape tape = l.tape().name("shared");
            Value weight = tape.parameter("weight", Shape.of(3, 3, 1, 1), Role.WEIGHT, (shape, key, values) -> {
                Random drawn = new Random(key);
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) drawn.nextGaussian();
                }
            });
            Window window = Window.square(1, 1, 0);
            return tape.conv2d(l.norm(tape.conv2d(x, weight, null, window, 1)), weight, null, window, 1);
        });
        Feed feed = Rig.feed(random, network, 9);
        List<Double> whole = run(network, feed, seed, List.of(9)).gradients();
        List<Double> split = run(network, feed, seed, List.of(4, 2, 3)).gradients();
        double largest = whole.stream().mapToDouble(Math::abs).max().orElse(0);
        for (int i = 0; i < whole.size(); i++) {
            // Eighteen additions in double, each wrong by at most 1.1e-16 of the sum.
            assertEquals(whole.get(i), split.get(i), 1e-12 * Math.max(1, largest), "seed " + seed + ", element " + i);
        }
    }

    @Test
    void splitsThatCutGhostGroupsDoChangeTheAnswer() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        NetworkCase network = NetworkCase.networks(random).get(1).withBatch(8, 4);
        Feed feed = Rig.feed(random, network, 8);
        Result whole = run(network, feed, 1, List.of(8));
        assertFalse(whole.equals(run(network, feed, 1, List.of(3, 5))), "the check above could not fail, seed " + seed);
    }

    @Test
    void dropoutMasksFollowTheSampleNotTheBatch() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        int batch = 7;
        NetworkCase sizes = new NetworkCase("dropout", batch, batch, 2, 3, 3, 2, 0, (l, x) -> x);
        Feed feed = Rig.feed(random, sizes, batch);
        double[] whole = masked(batch, feed);
        int perSample = whole.length / batch;
        for (int first = 0; first < batch; first++) {
            double[] one = masked(1, Rig.part(feed, first, 1));
            assertArrayEquals(
                    Arrays.copyOfRange(whole, first * perSample, (first + 1) * perSample), one, "seed " + seed);
        }
        double[] later =
                masked(batch, new Feed(feed.images(), feed.labels(), batch, feed.firstSample() + batch, feed.seed()));
        assertFalse(Arrays.equals(whole, later), "samples seen again must be masked anew, seed " + seed);
    }

    private static double[] masked(int batch, Feed feed) {
        Tape tape = Tape.training(batch, batch);
        Value dropped = tape.keep(tape.dropout(tape.images(2, 3, 3), 0.5));
        Value weight = tape.parameter("weight", Shape.of(2, 18), Role.WEIGHT, Initializer.constant(0));
        tape.softmaxCrossEntropy(tape.dense(tape.flatten(dropped), weight, null), tape.labels(), 0);
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
                Rig rig = new Rig(backend, tape.program(backend.fusions()), 1)) {
            rig.executable.run(feed);
            return ((ReferenceExecutable) rig.executable).read(dropped);
        }
    }

    private static List<Integer> split(int batch, int ghostBatch, Random random) {
        List<Integer> sizes = new ArrayList<>();
        for (int left = batch; left > 0; ) {
            int size = Math.min(left, ghostBatch * (1 + random.nextInt(3)));
            sizes.add(size);
            left -= size;
        }
        return sizes;
    }

    private static Result run(NetworkCase network, Feed feed, long weightSeed, List<Integer> microBatches) {
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
                ModelMemory model = ModelMemory.allocate(backend, network.training(backend.fusions()), weightSeed)) {
            int first = 0;
            for (int samples : microBatches) {
                try (Rig rig = new Rig(backend, network.training(samples, backend.fusions()), model)) {
                    rig.executable.run(Rig.part(feed, first, samples));
                    first += samples;
                }
            }
            return new Result(
                    boxed(ReferenceMemory.of(model.gradients()).values()),
                    boxed(ReferenceMemory.of(model.statistics()).values()),
                    backend.metrics().read());
        }
    }

    private static List<Double> boxed(double[] values) {
        return Arrays.stream(values).boxed().toList();
    }
}
