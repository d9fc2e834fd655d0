package io.crescendo.memory;

/**
 * What micro-batches cost, in units of the time that one sample takes: t(microBatch) = overheadSamples + microBatch.
 *
 * <p>A ratio of times rather than times, so that the choice that follows from it is the same on every run of one
 * machine: a split that followed the clock would change the order of float32 sums, and one seed would no longer give
 * one result. Whoever has measured (times per micro-batch size, see {@link #fit}) passes the result to the next run.
 *
 * @param preparationSamples time to trace, plan and compile a program of a new size
 * @param overheadSamples time of a micro-batch beyond that of its samples: launches, reading weights, idle processors
 */
public record MicroBatchCosts(double preparationSamples, double overheadSamples) {
    /**
     * For a device nobody has measured: a graphics card is expected to take for a few samples nearly as long as for
     * some dozens.
     */
    public static final MicroBatchCosts TYPICAL = new MicroBatchCosts(300, 32);

    public MicroBatchCosts {
        if (!(preparationSamples >= 0 && overheadSamples >= 0)) {
            throw new IllegalArgumentException("costs must not be negative, but preparation is " + preparationSamples
                    + " and overhead " + overheadSamples + " samples");
        }
    }

    /**
     * The costs that follow from measurements: least squares through (microBatch, nanos).
     *
     * @param microBatches at least two different sizes
     * @param nanos time of one run of each
     * @param preparationNanos time to prepare one size
     * @throws IllegalArgumentException if the times do not grow with the size
     */
    public static MicroBatchCosts fit(int[] microBatches, long[] nanos, long preparationNanos) {
        double meanSize = 0;
        double meanNanos = 0;
        for (int i = 0; i < microBatches.length; i++) {
            meanSize += (double) microBatches[i] / microBatches.length;
            meanNanos += (double) nanos[i] / microBatches.length;
        }
        double product = 0;
        double square = 0;
        for (int i = 0; i < microBatches.length; i++) {
            product += (microBatches[i] - meanSize) * (nanos[i] - meanNanos);
            square += (microBatches[i] - meanSize) * (microBatches[i] - meanSize);
        }
        double nanosPerSample = product / square;
        if (!(nanosPerSample > 0)) {
            throw new IllegalArgumentException("times must grow with the micro-batch, but a sample more takes "
                    + nanosPerSample + " ns; measure at least two sizes that lie further apart");
        }
        double overheadNanos = Math.max(0, meanNanos - nanosPerSample * meanSize);
        return new MicroBatchCosts(preparationNanos / nanosPerSample, overheadNanos / nanosPerSample);
    }
}
