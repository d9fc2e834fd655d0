package io.crescendo.memory;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongUnaryOperator;

/**
 * Splits a batch into micro-batches that fit a byte budget.
 *
 * <p>Real growth first: the micro-batch grows with the batch until the budget is reached, and only then does
 * accumulation start. Micro-batches are multiples of the granule (the ghost batch where the network takes statistics,
 * otherwise one sample), so a split never changes a statistic; only the last one may be ragged.
 */
public final class MicroBatches {
    private MicroBatches() {}

    /** Sizes of the micro-batches: as many of {@code microBatch} as fit, then the rest. */
    public static List<Integer> split(int batch, int microBatch) {
        if (batch < 1 || microBatch < 1) {
            throw new IllegalArgumentException(
                    "batch and micro-batch must be at least 1, but are " + batch + " and " + microBatch);
        }
        List<Integer> sizes = new ArrayList<>();
        for (int left = batch; left > 0; left -= microBatch) {
            sizes.add(Math.min(left, microBatch));
        }
        return List.copyOf(sizes);
    }

    /**
     * The size that splits a batch into as few micro-batches as {@code most} allows, and those as equal as the granule
     * allows: equal shares waste less than many full micro-batches and a small rest.
     *
     * @param most the largest micro-batch that fits; the batch itself, or a multiple of the granule
     */
    public static int equalShare(int batch, int granule, int most) {
        if (batch <= most) {
            return batch;
        }
        int granules = (batch + granule - 1) / granule;
        int pieces = (granules + most / granule - 1) / (most / granule);
        return (granules + pieces - 1) / pieces * granule;
    }

    /**
     * The largest micro-batch whose plan fits the budget: the whole batch, or a multiple of the granule.
     *
     * <p>Plans grow almost linearly with the micro-batch, so the search guesses by interpolation and falls back on
     * halving. The answer always fits. Where a plan is by a little larger than that of a larger micro-batch, which a
     * planner's luck may cause, a still larger one may fit too.
     *
     * @param batch samples per update
     * @param granule micro-batches smaller than the batch are multiples of this
     * @param budgetBytes what the arena may hold
     * @param planBytes bytes of the plan for a micro-batch
     * @throws MemoryBudgetException if not even one granule fits
     */
    public static int largest(int batch, int granule, long budgetBytes, LongUnaryOperator planBytes) {
        long whole = planBytes.applyAsLong(batch);
        if (whole <= budgetBytes) {
            return batch;
        }
        int smallest = Math.min(granule, batch);
        long needed = smallest == batch ? whole : planBytes.applyAsLong(smallest);
        if (needed > budgetBytes) {
            throw new MemoryBudgetException(budgetBytes, smallest, needed);
        }
        int low = 1; // granules that fit
        int high = (batch + granule - 1) / granule; // granules that do not
        long lowBytes = needed;
        long highBytes = whole;
        for (boolean guess = true; high - low > 1; guess = !guess) {
            int middle = (low + high) >>> 1;
            if (guess && highBytes > lowBytes) {
                double share = (double) (budgetBytes - lowBytes) / (highBytes - lowBytes);
                middle = Math.max(low + 1, Math.min(high - 1, low + (int) (share * (high - low))));
            }
            long bytes = planBytes.applyAsLong((long) middle * granule);
            if (bytes <= budgetBytes) {
                low = middle;
                lowBytes = bytes;
            } else {
                high = middle;
                highBytes = bytes;
            }
        }
        return low * granule;
    }
}
