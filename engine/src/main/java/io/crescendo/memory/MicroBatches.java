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
     * The largest micro-batch whose plan fits the budget, by bisection over multiples of the granule.
     *
     * @param batch samples per update
     * @param granule micro-batches smaller than the batch are multiples of this
     * @param budgetBytes what the arena may hold
     * @param planBytes bytes of the plan for a micro-batch; must not fall as the micro-batch grows
     * @throws IllegalArgumentException if not even one granule fits
     */
    public static int largest(int batch, int granule, long budgetBytes, LongUnaryOperator planBytes) {
        if (planBytes.applyAsLong(batch) <= budgetBytes) {
            return batch;
        }
        int smallest = Math.min(granule, batch);
        long needed = planBytes.applyAsLong(smallest);
        if (needed > budgetBytes) {
            throw new IllegalArgumentException("the memory budget of " + budgetBytes
                    + " bytes is too small: the smallest micro-batch, " + smallest + " samples, needs " + needed
                    + " bytes of workspace; raise the budget or choose a smaller ghost batch");
        }
        int low = 1; // granules that fit
        int high = (batch + granule - 1) / granule; // granules that do not
        while (high - low > 1) {
            int middle = (low + high) >>> 1;
            if (planBytes.applyAsLong((long) middle * granule) <= budgetBytes) {
                low = middle;
            } else {
                high = middle;
            }
        }
        // Equal shares waste less than one full micro-batch and a small rest.
        int granules = (batch + granule - 1) / granule;
        int pieces = (granules + low - 1) / low;
        return (granules + pieces - 1) / pieces * granule;
    }
}
