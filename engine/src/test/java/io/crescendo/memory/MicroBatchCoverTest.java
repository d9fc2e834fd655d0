package io.crescendo.memory;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Tape;
import io.crescendo.backend.Layers;
import io.crescendo.memory.MicroBatchCover.Demand;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;

class MicroBatchCoverTest {
    private static final MicroBatchCosts COSTS = new MicroBatchCosts(300, 4);

    @Test
    void everyBatchIsTheExactSumOfItsMicroBatches() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            int granule = 1 + random.nextInt(40);
            int most = random.nextBoolean() ? Integer.MAX_VALUE : granule * (1 + random.nextInt(20));
            Set<Integer> batches = new HashSet<>();
            int count = 1 + random.nextInt(60);
            for (int i = 0; i < count; i++) {
                batches.add(1 + random.nextInt(1000));
            }
            List<Demand> demands = batches.stream()
                    .map(batch -> new Demand(batch, 1L + random.nextInt(100)))
                    .toList();
            MicroBatchCosts costs = new MicroBatchCosts(random.nextInt(1000), random.nextInt(10));
            MicroBatchCover cover = MicroBatchCover.of(demands, granule, most, costs);
            for (int batch : batches) {
                List<Integer> sizes = cover.sizes(batch);
                String what = "seed " + seed + ", granule " + granule + ", most " + most + ", batch " + batch + ": "
                        + sizes + " of " + cover.sizes();
                assertEquals(batch, sizes.stream().mapToInt(Integer::intValue).sum(), what);
                for (int i = 0; i < sizes.size(); i++) {
                    assertTrue(sizes.get(i) >= 1 && sizes.get(i) <= Math.max(most, granule), what);
                    assertTrue(i == sizes.size() - 1 || sizes.get(i) % granule == 0, what);
                    assertTrue(i == 0 || sizes.get(i) <= sizes.get(i - 1), what);
                }
            }
        }
    }

    @Test
    void aFewBatchesGrowForReal() {
        List<Demand> demands = List.of(new Demand(128, 40), new Demand(640, 8), new Demand(3200, 1));
        MicroBatchCover cover = MicroBatchCover.of(demands, 128, 4096, new MicroBatchCosts(1e9, 1));
        demands.forEach(demand -> assertEquals(List.of(demand.batch()), cover.sizes(demand.batch())));
    }

    @Test
    void aSmoothScheduleSharesFewSizes() {
        List<Demand> demands = new ArrayList<>();
        for (int batch = 128; batch <= 5120; batch += 128) {
            demands.add(new Demand(batch, 20));
        }
        MicroBatchCover cover = MicroBatchCover.of(demands, 128, 5120, COSTS);
        assertTrue(
                cover.sizes().size() <= MicroBatchCover.ALWAYS_PREPARED + 4,
                cover.sizes().toString());
        for (Demand demand : demands) {
            assertTrue(cover.sizes(demand.batch()).size() <= 4, demand + ": " + cover.sizes(demand.batch()));
        }
        // Where micro-batches cost a hundred times more than programs, every batch has its own.
        assertEquals(
                40,
                MicroBatchCover.of(demands, 128, 5120, new MicroBatchCosts(1, 100))
                        .sizes()
                        .size());
    }

    @Test
    void thousandsOfBatchesAreCoveredToo() {
        List<Demand> demands = new ArrayList<>();
        for (int batch = 100; batch <= 6000; batch++) {
            demands.add(new Demand(batch, 3));
        }
        MicroBatchCover cover = MicroBatchCover.of(demands, 1, 2000, COSTS);
        assertTrue(cover.sizes().size() <= 40, cover.sizes().toString());
    }

    /** Learning rate 0.2 per epoch turned into growth, any whole batch allowed: nearly each leaves another rest. */
    @Test
    void batchesThatAreNoMultiplesShareTheirRests() {
        List<Demand> demands = TrainingPlan.of(Schedule.exponential(0.1, 0.2), batch(32), momentum(0.9))
                .forEpochs(2, 8000)
                .quantum(1)
                .growBatchInstead()
                .batchUses()
                .stream()
                .map(use -> new Demand(Math.toIntExact(use.samples()), use.updates()))
                .toList();
        assertTrue(demands.size() > 100, demands.toString());
        MicroBatchCover cover = MicroBatchCover.of(demands, 32, 800, COSTS);
        // Powers of two and the rests from 1 to 31.
        assertTrue(cover.sizes().size() <= 36, cover.sizes().toString());
        assertTrue(cost(demands, cover::sizes, COSTS) < 0.5 * cost(demands, List::of, COSTS));
    }

    @Test
    void noCoverIsDearerThanEqualSplitsOrPowersOfTwo() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 100; round++) {
            int granule = 1 + random.nextInt(40);
            int most = granule * (1 + random.nextInt(20));
            List<Demand> demands = new ArrayList<>();
            for (int batch = 1 + random.nextInt(100); batch < 1000; batch += 1 + random.nextInt(30)) {
                demands.add(new Demand(batch, 1L + random.nextInt(20)));
            }
            MicroBatchCosts costs = new MicroBatchCosts(random.nextInt(300), random.nextInt(10));
            MicroBatchCover cover = MicroBatchCover.of(demands, granule, most, costs);
            if (cover.sizes().size() > MicroBatchCover.ALWAYS_PREPARED) {
                double equal = cost(
                        demands,
                        batch -> MicroBatches.split(batch, MicroBatches.equalShare(batch, granule, most)),
                        costs);
                double powers = cost(demands, batch -> powersOfTwo(batch, granule, most), costs);
                String what = "seed " + seed + ", granule " + granule + ", most " + most + ", " + costs + ": "
                        + cover.sizes() + " for " + demands;
                assertTrue(cost(demands, cover::sizes, costs) <= Math.min(equal, powers) + 1e-6, what);
            }
        }
    }

    private static double cost(List<Demand> demands, IntFunction<List<Integer>> cover, MicroBatchCosts costs) {
        Set<Integer> sizes = new HashSet<>();
        double microBatches = 0;
        for (Demand demand : demands) {
            sizes.addAll(cover.apply(demand.batch()));
            microBatches +=
                    (double) demand.updates() * cover.apply(demand.batch()).size();
        }
        return sizes.size() * costs.preparationSamples() + microBatches * costs.overheadSamples();
    }

    private static List<Integer> powersOfTwo(int batch, int granule, int most) {
        List<Integer> parts = new ArrayList<>();
        int left = batch;
        for (int size = Integer.highestOneBit(most / granule) * granule; left > 0; size /= 2) {
            while (left > 0 && (left >= size || size == granule)) {
                parts.add(Math.min(size, left));
                left -= Math.min(size, left);
            }
        }
        return parts;
    }

    @Test
    void anUnknownBatchIsNamed() {
        MicroBatchCover cover = MicroBatchCover.of(List.of(new Demand(8, 1)), 4, 8, COSTS);
        String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> cover.sizes(9))
                .getMessage());
        assertTrue(message.contains("9") && message.contains("8"), message);
    }

    @Test
    void costsAreFittedToMeasurements() {
        int[] sizes = {100, 200, 400};
        long[] nanos = {7_000, 12_000, 22_000}; // 50 per sample and 2,000 beyond
        MicroBatchCosts costs = MicroBatchCosts.fit(sizes, nanos, 100_000);
        assertEquals(40, costs.overheadSamples(), 1e-9);
        assertEquals(2000, costs.preparationSamples(), 1e-9);
        assertThrows(IllegalArgumentException.class, () -> MicroBatchCosts.fit(sizes, new long[] {3, 2, 1}, 1));
    }

    /** Medians of the recorded sweep of the small CNN on two cores; the backend there states 107 and 2.2 samples. */
    @Test
    void statedCostsFollowFromTheRecordedTimes() {
        int[] sizes = {1, 4, 8, 16, 32, 64, 128, 256};
        long[] nanos = {464_000, 1_099_000, 1_809_000, 3_376_000, 6_372_000, 12_429_000, 22_905_000, 44_492_000};
        MicroBatchCosts costs = MicroBatchCosts.fit(sizes, nanos, 18_500_000);
        assertEquals(107, costs.preparationSamples(), 107 * 0.1);
        // The intercept depends on which sizes are fitted: a fifth of a millisecond is a sample and more.
        assertTrue(costs.overheadSamples() > 2.2 / 2 && costs.overheadSamples() < 2.2 * 2, costs.toString());
    }

    @Test
    void costsAreTakenToOtherNetworks() {
        MicroBatchCosts stated = new MicroBatchCosts(107, 2.2);
        RealNetwork wide = RealNetwork.all().get(1);
        assertEquals("wide ResNet 16-4", wide.name());
        MicroBatchCosts costs = stated.on(wide.program(EnumSet.allOf(Fusion.class)));
        // Recorded there: 94 ms for preparing and 12 ms for a sample.
        double measured = 94.1 / 12.0;
        assertTrue(
                costs.preparationSamples() < 2 * measured && costs.preparationSamples() > measured / 2,
                costs.toString());
        assertTrue(costs.overheadSamples() < 1, costs.toString());
        // Less work per operation than was measured anywhere.
        Tape tape = Tape.training(2, 1);
        tape.softmaxCrossEntropy(new Layers(tape).dense(tape.images(1, 2, 2), 3, true), tape.labels(), 0);
        assertEquals(stated, stated.on(tape.program(EnumSet.noneOf(Fusion.class))));
    }
}
