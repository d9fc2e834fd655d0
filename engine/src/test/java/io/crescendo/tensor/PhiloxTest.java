package io.crescendo.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;

class PhiloxTest {
    private final long seed = ThreadLocalRandom.current().nextLong();

    /** The published known-answer vectors of philox4x32 with 10 rounds (Random123, kat_vectors). */
    @Test
    void givesThePublishedAnswers() {
        assertWords(0, 0, 0, 0, 0L, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
        assertWords(-1, -1, -1, -1, -1L, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
        assertWords(
                0x243f6a88,
                0x85a308d3,
                0x13198a2e,
                0x03707344, // counter and key: digits of pi
                0x299f31d0a4093822L,
                0xd16cfe09,
                0x94fdcceb,
                0x5001e420,
                0x24126ea1);
    }

    private static void assertWords(int c0, int c1, int c2, int c3, long key, int... expected) {
        int[] words = new int[6];
        Philox.words(key, c0, c1, c2, c3, words, 1);
        assertArrayEquals(new int[] {0, expected[0], expected[1], expected[2], expected[3], 0}, words);
        long index = (long) c1 << 32 | (c0 & 0xFFFFFFFFL);
        assertEquals((long) expected[1] << 32 | (expected[0] & 0xFFFFFFFFL), Philox.bits(key, c3, c2, index));
        int[] named = new int[4];
        Philox.words(key, c3, c2, index, named);
        assertArrayEquals(expected, named);
    }

    @Test
    void belowIsTheUpperHalfOfTheUnsignedProduct() {
        SplittableRandom random = new SplittableRandom(seed);
        for (int trial = 0; trial < 1000; trial++) {
            long bits = random.nextLong();
            int bound = random.nextInt(1, Integer.MAX_VALUE);
            int expected = new BigInteger(Long.toUnsignedString(bits))
                    .multiply(BigInteger.valueOf(bound))
                    .shiftRight(64)
                    .intValueExact();
            assertEquals(expected, Philox.below(bits, bound), "seed " + seed + ", bits " + bits + ", bound " + bound);
        }
        assertEquals(0, Philox.below(0, 7));
        assertEquals(6, Philox.below(-1, 7));
        assertEquals(0, Philox.below(-1, 1));
        assertThrows(IllegalArgumentException.class, () -> Philox.below(1, 0));
    }

    @Test
    void everyPartOfTheNameMatters() {
        long bits = Philox.bits(seed, 1, 2, 3);
        assertEquals(bits, Philox.bits(seed, 1, 2, 3));
        for (long other : new long[] {
            Philox.bits(seed + 1, 1, 2, 3),
            Philox.bits(seed ^ 1L << 40, 1, 2, 3),
            Philox.bits(seed, 2, 2, 3),
            Philox.bits(seed, 1, 3, 3),
            Philox.bits(seed, 1, 2, 4),
            Philox.bits(seed, 1, 2, 3 + (1L << 32))
        }) {
            // Two unrelated 64-bit numbers differ in 32 bits, standard deviation 4: 6 is beyond six of them.
            assertTrue(Long.bitCount(bits ^ other) > 6, "seed " + seed);
        }
    }
}
