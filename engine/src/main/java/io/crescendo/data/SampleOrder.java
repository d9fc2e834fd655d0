package io.crescendo.data;

import io.crescendo.tensor.Philox;
import java.util.Objects;

/**
 * Which sample stands at which position of an epoch.
 *
 * <p>A shuffled order is the Fisher-Yates permutation driven by {@code Philox.bits(seed, ORDER, epoch, position)}: a
 * function of (seed, epoch) and the number of samples, so batches of any size cut the same sequence.
 *
 * <p>The permutation of the epoch asked for last is kept, 4 bytes per sample; not safe for use by several threads.
 *
 * <pre>{@code
 * SampleOrder order = SampleOrder.shuffled(60_000, 42);
 * int first = order.sample(3, 0);    // the first sample of epoch 3
 * }</pre>
 */
public final class SampleOrder {
    private static final long NO_EPOCH = -1;

    private final int[] permutation;
    private final boolean shuffled;
    private final long seed;
    private long currentEpoch = NO_EPOCH;

    private SampleOrder(int samples, boolean shuffled, long seed) {
        if (samples < 1) {
            throw new IllegalArgumentException("an order of " + samples + " samples; give at least 1");
        }
        this.permutation = new int[samples];
        this.shuffled = shuffled;
        this.seed = seed;
    }

    /** A new permutation in every epoch. */
    public static SampleOrder shuffled(int samples, long seed) {
        return new SampleOrder(samples, true, seed);
    }

    /** The data set's own order in every epoch, for evaluation. */
    public static SampleOrder sequential(int samples) {
        return new SampleOrder(samples, false, 0);
    }

    public int size() {
        return permutation.length;
    }

    /**
     * The index of the sample at a position of an epoch.
     *
     * @throws IndexOutOfBoundsException if position is not in [0, size)
     * @throws IllegalArgumentException if epoch is not in [0, 2^31)
     */
    public int sample(long epoch, int position) {
        if (epoch != currentEpoch) {
            arrange(epoch);
        }
        return permutation[Objects.checkIndex(position, permutation.length)];
    }

    private void arrange(long epoch) {
        requireEpoch(epoch);
        boolean arranged = currentEpoch != NO_EPOCH && !shuffled;
        currentEpoch = epoch;
        if (arranged) {
            return;
        }
        for (int position = 0; position < permutation.length; position++) {
            // Inside-out Fisher-Yates: starts from nothing, so no epoch depends on the one before it.
            int other = shuffled
                    ? Philox.below(Philox.bits(seed, Philox.ORDER, (int) epoch, position), position + 1)
                    : position;
            permutation[position] = permutation[other];
            permutation[other] = position;
        }
    }

    static void requireEpoch(long epoch) {
        if (epoch < 0 || epoch > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("epoch " + epoch + " is not in [0, 2^31)");
        }
    }
}
