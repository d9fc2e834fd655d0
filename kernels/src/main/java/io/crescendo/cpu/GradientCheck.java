package io.crescendo.cpu;

import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.UpdateScalars;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * What an update must know of the whole gradient before it writes the first weight: whether all of it is finite, and
 * its length where it is clipped. One reading of the pack answers both.
 *
 * <p>Chunks leave their sums in places of their own, so the result does not depend on the number of threads.
 *
 * <p>IMPLEMENTATION NOTES. The reading cannot be part of the update's own pass: whoever finds NaN in the last chunk has
 * written all others. Where only finiteness counts, {@code 0 · g} is added up element by element in arrays of a chunk's
 * length: a loop of a shape that the compiler vectorises, unlike a sum, so that memory sets the pace.
 */
final class GradientCheck implements Workers.Task {
    private static final int CHUNK = 2048;

    private final Workers workers;
    private final HostStepMetrics metrics;
    private final FloatBuffer gradients;
    private final double[] squares;
    private final float[][] copies;
    /** Zeros as long as all gradients are finite. */
    private final float[][] traces;

    private boolean clips;

    GradientCheck(CpuBackend backend, FloatBuffer gradients) {
        this.workers = backend.workers();
        this.metrics = backend.metrics();
        this.gradients = gradients;
        this.squares = new double[(gradients.limit() + CHUNK - 1) / CHUNK];
        this.copies = new float[workers.count()][CHUNK];
        this.traces = new float[workers.count()][CHUNK];
    }

    /**
     * Reads the gradient. Whether the update may happen; if not, {@code metrics} tell of it.
     *
     * @param shared whether more than one thread is worth waking
     */
    boolean allows(UpdateScalars scalars, boolean shared) {
        clips = scalars.clips();
        if (shared) {
            workers.run(this);
        } else {
            run(0, 1);
        }
        if (!(clips ? Double.isFinite(sum()) : tracesAreZero())) {
            metrics.gradientWasNotFinite();
        }
        return !metrics.skips();
    }

    /** The numbers of an update that was allowed, with the scale that its gradient gets. */
    UpdateScalars clipped(UpdateScalars scalars) {
        return clips ? scalars.clipped(scalars.gradientScale() * Math.sqrt(sum())) : scalars;
    }

    private double sum() {
        double sum = 0;
        for (double chunk : squares) {
            sum += chunk;
        }
        return sum;
    }

    private boolean tracesAreZero() {
        boolean zero = true;
        for (float[] trace : traces) {
            for (float number : trace) {
                zero &= number == 0;
            }
        }
        if (!zero) {
            for (float[] trace : traces) {
                Arrays.fill(trace, 0);
            }
        }
        return zero;
    }

    @Override
    public void run(int part, int parts) {
        int first = (int) ((long) squares.length * part / parts);
        int end = (int) ((long) squares.length * (part + 1) / parts);
        float[] copy = copies[part];
        float[] trace = traces[part];
        for (int i = first; i < end; i++) {
            int count = Math.min(CHUNK, gradients.limit() - i * CHUNK);
            gradients.get(i * CHUNK, copy, 0, count);
            if (clips) {
                squares[i] = CpuLayerwiseUpdate.sumOfSquares(copy, count);
            } else {
                leaveTrace(copy, trace, count);
            }
        }
    }

    private static void leaveTrace(float[] values, float[] trace, int count) {
        for (int i = 0; i < count; i++) {
            trace[i] += 0 * values[i];
        }
    }
}
