package io.crescendo.reference;

import io.crescendo.backend.StepMetrics;

/** Loss and hits as plain sums. */
final class ReferenceMetrics implements StepMetrics {
    private double loss;
    private long hits;

    void add(double sampleLoss, boolean hit) {
        loss += sampleLoss;
        hits += hit ? 1 : 0;
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
