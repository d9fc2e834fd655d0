package io.crescendo.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class DropoutsTest {
    @Test
    void manyDecisionsEqualSingleOnes() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 100; round++) {
            long key = random.nextInt(1 << 24);
            long sample = random.nextLong() >>> 1;
            long first = 4L * random.nextInt();
            first = Math.abs(first);
            double rate = random.nextDouble();
            boolean[] kept = new boolean[random.nextInt(50) + 3];
            Dropouts.keeps(seed, key, sample, first, rate, kept, 2, kept.length - 2, new int[4]);
            for (int i = 2; i < kept.length; i++) {
                assertEquals(
                        Dropouts.keeps(seed, key, sample, first + i - 2, rate), kept[i], "seed " + seed + ", i " + i);
            }
        }
    }

    @Test
    void shareOfDroppedElementsIsTheRate() {
        long seed = new Random().nextLong();
        int draws = 40_000;
        for (double rate : new double[] {0, 0.1, 0.5, 0.9}) {
            boolean[] kept = new boolean[draws];
            Dropouts.keeps(seed, 3, 17, 0, rate, kept, 0, draws, new int[4]);
            int dropped = 0;
            for (boolean keep : kept) {
                dropped += keep ? 0 : 1;
            }
            // Binomial: six standard deviations are left once in 5e8 runs.
            double bound = 6 * Math.sqrt(draws * rate * (1 - rate));
            assertEquals(draws * rate, dropped, bound, "seed " + seed + ", rate " + rate);
        }
    }

    @Test
    void everyPartOfTheKeyMatters() {
        long seed = new Random().nextLong();
        String mask = mask(seed, 0, 5);
        assertEquals(mask, mask(seed, 0, 5));
        // 200 fair coins agree by chance once in 1e60 runs.
        assertNotEquals(mask, mask(seed + 1, 0, 5));
        assertNotEquals(mask, mask(seed, 1, 5));
        assertNotEquals(mask, mask(seed, 0, 6));
        assertNotEquals(mask, mask(seed, 0, 5 + (1L << 32)));
    }

    @Test
    void badArgumentsAreNamed() {
        String rate = String.valueOf(assertThrows(IllegalArgumentException.class, () -> Dropouts.keeps(1, 0, 0, 0, 1.0))
                .getMessage());
        assertTrue(rate.contains("1.0"), rate);
        String key =
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> Dropouts.keeps(1, 1 << 24, 0, 0, 0.5))
                        .getMessage());
        assertTrue(key.contains("16777216"), key);
        String first = String.valueOf(assertThrows(
                        IllegalArgumentException.class,
                        () -> Dropouts.keeps(1, 0, 0, 6, 0.5, new boolean[1], 0, 1, new int[4]))
                .getMessage());
        assertTrue(first.contains("multiple of 4"), first);
    }

    private static String mask(long seed, long key, long sample) {
        StringBuilder text = new StringBuilder();
        for (int e = 0; e < 200; e++) {
            text.append(Dropouts.keeps(seed, key, sample, e, 0.5) ? '1' : '0');
        }
        return text.toString();
    }
}
