package io.crescendo.tensor;

/**
 * Random numbers without state: Philox4x32-10, a keyed function from a 128-bit counter to 128 random bits.
 *
 * <p>One round maps the counter words (c0, c1, c2, c3) under the key words (k0, k1) to
 *
 * <pre>
 *   (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))
 * </pre>
 *
 * with hi and lo the halves of the 64-bit product; after each of the ten rounds k0 and k1 grow by a constant. There is
 * nothing to advance, so any thread, any order of evaluation and any device gives the same numbers: a draw is named by
 * what it is for. Crescendo's convention: the key is the run's seed; c0 and c1 hold the low and the high word of an
 * index, c2 a step (an epoch, say), c3 the stream, one of the constants below.
 *
 * <pre>{@code
 * long bits = Philox.bits(seed, Philox.ORDER, epoch, sample);
 * int other = Philox.below(bits, sample + 1);
 * }</pre>
 *
 * <p>Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
public final class Philox {
    /** Stream of the sample permutations; step = epoch, index = position. */
    public static final int ORDER = 1;
    /** Stream of flips and crops; step = epoch, index = sample. */
    public static final int AUGMENTATION = 2;
    /** Stream of synthetic data; step = part of the data set, index = element. */
    public static final int DATA = 3;
    /** Stream of dropout masks, with 256 times the number of the dropout; step = element / 4, index = sample. */
    public static final int DROPOUT = 5;

    private static final int ROUNDS = 10;
    private static final long MULTIPLIER_0 = 0xD2511F53L;
    private static final long MULTIPLIER_1 = 0xCD9E8D57L;
    private static final int WEYL_0 = 0x9E3779B9; // the golden ratio
    private static final int WEYL_1 = 0xBB67AE85; // sqrt(3) - 1
    private static final long WORD = 0xFFFFFFFFL;

    private Philox() {}

    /**
     * Writes the four random words of one counter to destination[offset .. offset + 3].
     *
     * @param key k0 in the low word, k1 in the high word
     */
    public static void words(long key, int c0, int c1, int c2, int c3, int[] destination, int offset) {
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long product0 = MULTIPLIER_0 * (c0 & WORD);
            long product1 = MULTIPLIER_1 * (c2 & WORD);
            c0 = (int) (product1 >>> 32) ^ c1 ^ k0;
            c1 = (int) product1;
            c2 = (int) (product0 >>> 32) ^ c3 ^ k1;
            c3 = (int) product0;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        destination[offset] = c0;
        destination[offset + 1] = c1;
        destination[offset + 2] = c2;
        destination[offset + 3] = c3;
    }

    /** The four words of (index, step, stream) under the key seed, written to destination[0 .. 3]. */
    public static void words(long seed, int stream, int step, long index, int[] destination) {
        words(seed, (int) index, (int) (index >>> 32), step, stream, destination, 0);
    }

    /**
     * The first two words of (index, step, stream) under the key seed, the first word in the low half.
     *
     * <p>Computed without an array, for callers that draw one number per index.
     */
    public static long bits(long seed, int stream, int step, long index) {
        int c0 = (int) index;
        int c1 = (int) (index >>> 32);
        int c2 = step;
        int c3 = stream;
        int k0 = (int) seed;
        int k1 = (int) (seed >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long product0 = MULTIPLIER_0 * (c0 & WORD);
            long product1 = MULTIPLIER_1 * (c2 & WORD);
            c0 = (int) (product1 >>> 32) ^ c1 ^ k0;
            c1 = (int) product1;
            c2 = (int) (product0 >>> 32) ^ c3 ^ k1;
            c3 = (int) product0;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        return (c1 & WORD) << 32 | (c0 & WORD);
    }

    /**
     * An integer in [0, bound): the upper 64 bits of the 96-bit product bits × bound (on CUDA {@code __umul64hi}).
     *
     * <p>No value is rejected, so one draw always costs one counter; the probabilities differ by less than 2^-33 of
     * themselves.
     *
     * @throws IllegalArgumentException if bound is not positive
     */
    public static int below(long bits, int bound) {
        if (bound <= 0) {
            throw new IllegalArgumentException("bound " + bound + " leaves nothing to draw; give at least 1");
        }
        long signedHigh = Math.multiplyHigh(bits, bound);
        // multiplyHigh reads bits as signed: a set top bit counted as -2^63 instead of +2^63, bound too little in all.
        return (int) (bits < 0 ? signedHigh + bound : signedHigh);
    }
}
