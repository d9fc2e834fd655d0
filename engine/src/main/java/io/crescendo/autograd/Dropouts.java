package io.crescendo.autograd;

import io.crescendo.tensor.Philox;

/**
 * Which elements a dropout keeps: a pure function of seed, dropout, sample and element.
 *
 * <p>Word {@code e mod 4} of the Philox block with key = seed and counter (low word of the sample, high word of the
 * sample, ⌊e / 4⌋, {@link Philox#DROPOUT} + 256·key) is compared, as an unsigned number, with {@link #threshold}: the
 * element is kept if the word is not smaller. So neither the batch, nor micro-batches, nor the backend change a mask,
 * and a device can compute it without any memory.
 *
 * <pre>{@code
 * Dropouts.keeps(seed, op.key(), feed.firstSample() + n, e, op.rate())
 * }</pre>
 */
public final class Dropouts {
    private static final int WORDS = 4; // of one Philox block
    private static final int KEY_SHIFT = 8; // leaves the low byte of the stream word to Philox's streams
    private static final long MOST_KEYS = 1L << (Integer.SIZE - KEY_SHIFT);

    private Dropouts() {}

    /** Whether element {@code element} (row-major within its sample) of sample {@code sample} is kept. */
    public static boolean keeps(long seed, long key, long sample, long element, double rate) {
        int[] words = new int[WORDS];
        block(seed, stream(key), sample, element / WORDS, words);
        return Integer.toUnsignedLong(words[(int) (element % WORDS)]) >= threshold(rate);
    }

    /**
     * The decision for many neighbouring elements of one sample, four per Philox block.
     *
     * @param firstElement the first element; a multiple of 4
     * @param kept receives the decision for elements {@code firstElement} to {@code firstElement + length − 1}
     * @param offset where in {@code kept} to start
     * @param length how many
     * @param words room for four numbers; what it holds afterwards means nothing
     */
    public static void keeps(
            long seed,
            long key,
            long sample,
            long firstElement,
            double rate,
            boolean[] kept,
            int offset,
            int length,
            int[] words) {
        if (firstElement % WORDS != 0) {
            throw new IllegalArgumentException(
                    "the first element must be a multiple of " + WORDS + ", but is " + firstElement);
        }
        int stream = stream(key);
        long threshold = threshold(rate);
        for (int i = 0; i < length; i++) {
            if (i % WORDS == 0) {
                block(seed, stream, sample, (firstElement + i) / WORDS, words);
            }
            kept[offset + i] = Integer.toUnsignedLong(words[i % WORDS]) >= threshold;
        }
    }

    /** Random words below this drop the element: ⌊rate · 2³²⌋. */
    public static long threshold(double rate) {
        if (!(rate >= 0 && rate < 1)) {
            throw new IllegalArgumentException("the dropout rate must be in [0, 1), but is " + rate);
        }
        return (long) (rate * 0x1p32);
    }

    private static int stream(long key) {
        if (key < 0 || key >= MOST_KEYS) {
            throw new IllegalArgumentException(
                    "the key of a dropout is its number on the tape, from 0 to " + (MOST_KEYS - 1) + ", but is " + key);
        }
        return Philox.DROPOUT + ((int) key << KEY_SHIFT);
    }

    private static void block(long seed, int stream, long sample, long block, int[] words) {
        if (block < 0 || block > 0xFFFFFFFFL) {
            throw new IllegalArgumentException(
                    "one sample may have at most 2^34 elements, but element " + block * WORDS + " was asked for");
        }
        Philox.words(seed, stream, (int) block, sample, words);
    }
}
