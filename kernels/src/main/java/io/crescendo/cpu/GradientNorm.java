package io.crescendo.cpu;

import io.crescendo.backend.UpdateScalars;
import java.nio.FloatBuffer;

/**
 * The length of the whole gradient, for clipping: one more reading of the pack, and only where gradients are clipped.
 *
 * <p>Chunks leave their sums in places of their own, so the result does not depend on the number of threads.
 */
final class GradientNorm implements Workers.Task {
    private static final int CHUNK = 2048;

    private final Workers workers;
    private final FloatBuffer gradients;
    private final double[] squares;
    private final float[][] copies;

    GradientNorm(Workers workers, FloatBuffer gradients) {
        this.workers = workers;
        this.gradients = gradients;
        this.squares = new double[(gradients.limit() + CHUNK - 1) / CHUNK];
        this.copies = new float[workers.count()][CHUNK];
    }

    /** The numbers of this update with the scale that its gradient gets. */
    UpdateScalars clipped(UpdateScalars scalars) {
        if (!scalars.clips()) {
            return scalars;
        }
        workers.run(this);
        double sum = 0;
        for (double chunk : squares) {
            sum += chunk;
        }
        return scalars.clipped(scalars.gradientScale() * Math.sqrt(sum));
    }

    @Override
    public void run(int part, int parts) {
        int first = (int) ((long) squares.length * part / parts);
        int end = (int) ((long) squares.length * (part + 1) / parts);
        for (int i = first; i < end; i++) {
            int count = Math.min(CHUNK, gradients.limit() - i * CHUNK);
            gradients.get(i * CHUNK, copies[part], 0, count);
            squares[i] = CpuLayerwiseUpdate.sumOfSquares(copies[part], count);
        }
    }
}
