package io.crescendo.cpu;

import io.crescendo.backend.StepMetrics;

/** Loss in double precision and hits; the loss step adds to them on the thread that runs the program. */
final class CpuStepMetrics implements StepMetrics {
    private double loss;
    private long hits;
    private boolean gradientWasNotFinite;

    void add(double moreLoss, long moreHits) {
        loss += moreLoss;
        hits += moreHits;
    }

    void gradientWasNotFinite() {
        gradientWasNotFinite = true;
    }

    /** Whether updates are skipped. */
    boolean skips() {
        return gradientWasNotFinite;
    }

    @Override
    public Sums read() {
        return new Sums(skips() ? Double.NaN : loss, hits);
    }

    @Override
    public Reading take() {
        Sums sums = read();
        loss = 0;
        hits = 0;
        return Reading.of(sums);
    }

    @Override
    public void clear() {
        loss = 0;
        hits = 0;
        gradientWasNotFinite = false;
    }
}
