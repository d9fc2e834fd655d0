package io.crescendo.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.function.LongUnaryOperator;
import org.junit.jupiter.api.Test;

class MicroBatchesTest {
    @Test
    void splitCoversTheBatch() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            int batch = 1 + random.nextInt(500);
            int microBatch = 1 + random.nextInt(600);
            List<Integer> sizes = MicroBatches.split(batch, microBatch);
            String what = "seed " + seed + ", batch " + batch + ", micro-batch " + microBatch + ": " + sizes;
            assertEquals(batch, sizes.stream().mapToInt(Integer::intValue).sum(), what);
            assertTrue(sizes.stream().limit(sizes.size() - 1L).allMatch(s -> s == microBatch), what);
            assertTrue(sizes.get(sizes.size() - 1) >= 1 && sizes.get(sizes.size() - 1) <= microBatch, what);
        }
    }

    @Test
    void largestFitsAndNeedsAsFewMicroBatchesAsAny() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 500; round++) {
            int batch = 1 + random.nextInt(300);
            int granule = 1 + random.nextInt(40);
            long perSample = 1L + random.nextInt(1000);
            long fixed = random.nextInt(10_000);
            LongUnaryOperator planBytes = samples -> fixed + samples * perSample;
            long budget = planBytes.applyAsLong(Math.min(granule, batch)) + (long) random.nextInt(100_000);
            int chosen = MicroBatches.largest(batch, granule, budget, planBytes);
            String what =
                    "seed " + seed + ", batch " + batch + ", granule " + granule + ", budget " + budget + ": " + chosen;
            assertTrue(planBytes.applyAsLong(chosen) <= budget, what);
            assertTrue(chosen == batch || chosen % granule == 0, what);
            int fewest = Integer.MAX_VALUE; // by trying every size
            for (int size = granule; size < batch; size += granule) {
                if (planBytes.applyAsLong(size) <= budget) {
                    fewest = Math.min(fewest, (batch + size - 1) / size);
                }
            }
            fewest = planBytes.applyAsLong(batch) <= budget ? 1 : fewest;
            assertEquals(fewest, MicroBatches.split(batch, chosen).size(), what);
        }
    }

    @Test
    void budgetTooSmallForOneGranuleSaysWhatIsNeeded() {
        String message = String.valueOf(assertThrows(
                        IllegalArgumentException.class,
                        () -> MicroBatches.largest(64, 16, 1599, samples -> samples * 100))
                .getMessage());
        assertTrue(message.contains("1599") && message.contains("16 samples") && message.contains("1600"), message);
        assertTrue(message.contains("(1.6KiB)") && message.endsWith("or choose a smaller ghost batch"), message);
    }

    /** Nothing is smaller than one sample. */
    @Test
    void budgetTooSmallForOneSampleCanOnlyBeRaised() {
        MemoryBudgetException refused = assertThrows(
                MemoryBudgetException.class, () -> MicroBatches.largest(64, 1, 1024, samples -> samples * 3072));
        String message = String.valueOf(refused.getMessage());
        assertTrue(message.endsWith("1 sample, needs 3072 bytes (3.0KiB) of workspace; raise the budget"), message);
        assertEquals(1024, refused.budgetBytes());
    }

    @Test
    void sizesBelowOneAreRejected() {
        String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> MicroBatches.split(10, 0))
                .getMessage());
        assertTrue(message.contains("10 and 0"), message);
    }
}
