package io.crescendo.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SampleOrderTest {
    private final long seed = ThreadLocalRandom.current().nextLong();

    private static int[] epoch(SampleOrder order, long epoch) {
        return IntStream.range(0, order.size())
                .map(position -> order.sample(epoch, position))
                .toArray();
    }

    @Test
    void everyEpochVisitsEverySampleOnceInAnOrderOfItsOwn() {
        SampleOrder order = SampleOrder.shuffled(997, seed);
        int[] first = epoch(order, 0);
        int[] second = epoch(order, 1);
        int[] identity = IntStream.range(0, 997).toArray();
        assertArrayEquals(identity, Arrays.stream(first).sorted().toArray(), "seed " + seed);
        assertArrayEquals(identity, Arrays.stream(second).sorted().toArray(), "seed " + seed);
        assertFalse(Arrays.equals(first, second) || Arrays.equals(first, identity), "seed " + seed);
        assertFalse(Arrays.equals(first, epoch(SampleOrder.shuffled(997, seed + 1), 0)), "seed " + seed);
    }

    @Test
    void anEpochDoesNotDependOnTheEpochsAskedForBefore() {
        SampleOrder wandering = SampleOrder.shuffled(101, seed);
        epoch(wandering, 7);
        epoch(wandering, 0);
        assertArrayEquals(epoch(SampleOrder.shuffled(101, seed), 3), epoch(wandering, 3), "seed " + seed);
    }

    /** Written down from another implementation: a change would make old runs impossible to repeat or resume. */
    @Test
    void theOrderOfASeedIsFixedForever() {
        assertArrayEquals(new int[] {7, 6, 9, 4, 1, 3, 8, 2, 11, 5, 10, 0}, epoch(SampleOrder.shuffled(12, 42), 3));
    }

    @Test
    void allPermutationsAreEquallyLikely() {
        int epochs = 24_000;
        int[] count = new int[24];
        SampleOrder order = SampleOrder.shuffled(4, seed);
        for (int epoch = 0; epoch < epochs; epoch++) {
            int code = 0;
            for (int position = 0; position < 4; position++) {
                int rank = 0;
                for (int later = position + 1; later < 4; later++) {
                    rank += order.sample(epoch, later) < order.sample(epoch, position) ? 1 : 0;
                }
                code = code * (4 - position) + rank;
            }
            count[code]++;
        }
        // 1000 expected in each; six standard deviations of the binomial (31) for 24 cells.
        for (int cell : count) {
            assertTrue(Math.abs(cell - 1000) < 190, "seed " + seed + ": " + Arrays.toString(count));
        }
    }

    @Test
    void theSequentialOrderIsTheDataSetsOwn() {
        SampleOrder order = SampleOrder.sequential(5);
        assertArrayEquals(new int[] {0, 1, 2, 3, 4}, epoch(order, 0));
        assertArrayEquals(new int[] {0, 1, 2, 3, 4}, epoch(order, 9));
    }

    @Test
    void oneSampleIsAnOrderAndOutsidePositionsAreRejected() {
        assertEquals(0, SampleOrder.shuffled(1, seed).sample(12, 0));
        SampleOrder order = SampleOrder.shuffled(3, seed);
        assertThrows(IndexOutOfBoundsException.class, () -> order.sample(0, 3));
        assertThrows(IllegalArgumentException.class, () -> order.sample(-2, 0));
        assertThrows(IllegalArgumentException.class, () -> order.sample(1L << 31, 0));
        assertThrows(IllegalArgumentException.class, () -> SampleOrder.shuffled(0, seed));
    }
}
