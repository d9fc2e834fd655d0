package io.crescendo.reference;

import io.crescendo.backend.StepMetrics;

/** Loss and hits as plain sums, and whether an update met a gradient that is not finite. */
final class ReferenceMetrics implements StepMetrics {
    private double loss;
    private long hits;
    private boolean gradientWasNotFinite;

    void add(double sampleLoss, boolean hit) {
        loss += sampleLoss;
        hits += hit ? 1 : 0;
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
