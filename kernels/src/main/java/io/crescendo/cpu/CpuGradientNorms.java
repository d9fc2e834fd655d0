package io.crescendo.cpu;

import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ModelMemory;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Norms of micro-batches' gradients: the pack is compared with a copy of what it was, chunk by chunk in the first-level
 * cache, and the copy brought up to date in passing. Bytes per parameter: 8 for the first micro-batch of an update, 12
 * for those between, 8 for the last.
 *
 * <p>The difference of two sums is exact to a rounding of the larger one, so a micro-batch's squared norm carries a
 * relative error of about (2⁻²⁴ |sum| / |difference|)²: nothing, even for a thousand micro-batches. Chunks leave their
 * sums in places of their own, so the result does not depend on the number of threads.
 */
final class CpuGradientNorms implements GradientNorms, Workers.Task {
    private static final int CHUNK = 2048;

    private final Workers workers;
    private final CpuDeviceMemory pack;
    private final CpuDeviceMemory copy;
    private final FloatBuffer gradients;
    private final FloatBuffer before;
    private final double[] ownSquares;
    private final double[] sumSquares;
    private final float[][] gradientChunks;
    private final float[][] beforeChunks;
    private final List<Double> squares = new ArrayList<>();
    private double batch;
    private boolean first;
    private boolean last;

    CpuGradientNorms(CpuBackend backend, ModelMemory model) {
        this.workers = backend.workers();
        this.pack = (CpuDeviceMemory) model.gradients();
        this.copy = backend.allocate("a copy of the gradients", pack.elements());
        this.gradients = pack.floats(0, pack.elements());
        this.before = copy.floats(0, copy.elements());
        int chunks = (gradients.limit() + CHUNK - 1) / CHUNK;
        this.ownSquares = new double[chunks];
        this.sumSquares = new double[chunks];
        this.gradientChunks = new float[workers.count()][CHUNK];
        this.beforeChunks = new float[workers.count()][CHUNK];
    }

    @Override
    public void ran(int index, int count) {
        pack.requireOpen();
        copy.requireOpen();
        first = index == 0;
        last = index == count - 1;
        if (first) {
            squares.clear();
        }
        workers.run(this);
        double own = 0;
        batch = 0;
        for (int i = 0; i < ownSquares.length; i++) {
            own += ownSquares[i];
            batch += sumSquares[i];
        }
        squares.add(own);
    }

    @Override
    public void run(int part, int parts) {
        int begin = (int) ((long) ownSquares.length * part / parts);
        int end = (int) ((long) ownSquares.length * (part + 1) / parts);
        for (int i = begin; i < end; i++) {
            chunk(i, gradientChunks[part], beforeChunks[part]);
        }
    }

    private void chunk(int number, float[] sum, float[] old) {
        int from = number * CHUNK;
        int count = Math.min(CHUNK, gradients.limit() - from);
        gradients.get(from, sum, 0, count);
        if (!first) {
            before.get(from, old, 0, count);
        }
        if (!last) {
            before.put(from, sum, 0, count);
        }
        sumSquares[number] = CpuLayerwiseUpdate.sumOfSquares(sum, count);
        if (first) {
            ownSquares[number] = sumSquares[number];
            return;
        }
        for (int i = 0; i < count; i++) {
            old[i] = sum[i] - old[i];
        }
        ownSquares[number] = CpuLayerwiseUpdate.sumOfSquares(old, count);
    }

    @Override
    public Reading take() {
        Squares taken = new Squares(squares, batch);
        return () -> taken;
    }

    @Override
    public void close() {
        copy.close();
    }
}
