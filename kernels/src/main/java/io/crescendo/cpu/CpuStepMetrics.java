package io.crescendo.cpu;

import io.crescendo.backend.StepMetrics;

/** Loss in double precision and hits; the loss step adds to them on the thread that runs the program. */
final class CpuStepMetrics implements StepMetrics {
    private double loss;
    private long hits;

    void add(double moreLoss, long moreHits) {
        loss += moreLoss;
        hits += moreHits;
    }

    @Override
    public Sums read() {
        return new Sums(loss, hits);
    }

    @Override
    public void clear() {
        loss = 0;
        hits = 0;
    }
}
