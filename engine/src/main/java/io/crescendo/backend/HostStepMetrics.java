package io.crescendo.backend;

/** The sums of a backend that computes on the host: they are there when a run returns. */
public final class HostStepMetrics implements StepMetrics {
    private double loss;
    private long hits;
    private boolean gradientWasNotFinite;

    /** Adds the loss and the hits of some samples. */
    public void add(double moreLoss, long moreHits) {
        loss += moreLoss;
        hits += moreHits;
    }

    /** An update has met a gradient that is infinite or NaN. */
    public void gradientWasNotFinite() {
        gradientWasNotFinite = true;
    }

    /** Whether updates are skipped. */
    public boolean skips() {
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
        take();
        gradientWasNotFinite = false;
    }
}
