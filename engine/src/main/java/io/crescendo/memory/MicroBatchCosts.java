package io.crescendo.memory;

import io.crescendo.autograd.Program;

/**
 * What micro-batches cost, in units of the time that one sample takes: t(microBatch) = overheadSamples + microBatch.
 *
 * <p>Nothing is timed when a run starts: a cover that followed the clock would change the order of float32 sums from
 * run to run, and one seed would no longer give one result. So a backend states what was measured once for its kind of
 * device and one network ({@link #fit} makes costs of times per micro-batch size), and {@link #on} takes them to any
 * other network by what its program holds. Whoever has measured a network of their own passes the result instead.
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

    /** The training program that stated costs are about, a CNN of two convolutions on 28×28 images: its operations. */
    private static final double MEASURED_OPS = 19;

    /** Its work for one sample, see {@link Recomputation#work}. */
    private static final double MEASURED_WORK = 2.5e6;

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

    /**
     * The costs of another network than the small CNN that they were measured for. Preparing and launching take their
     * time per operation, a sample takes its work:
     *
     * <pre>costs · (operations / work) over (operations / work of the small CNN)</pre>
     *
     * <p>An estimate, within a factor of two where it was compared (a wide ResNet 16-4 on two cores: 12 samples for
     * preparing, measured 8); the choice among a few sizes does not depend on more. A network with still less work per
     * operation is taken to cost what the small one does.
     */
    public MicroBatchCosts on(Program training) {
        double work = Recomputation.work(training) / training.microBatch();
        double factor = Math.min(1, training.ops().size() / MEASURED_OPS * MEASURED_WORK / work);
        return new MicroBatchCosts(preparationSamples * factor, overheadSamples * factor);
    }
}
