package io.crescendo.backend;

/** Sums over all samples that ran since the last {@link #clear}. */
public interface StepMetrics {
    /** Loss summed over samples and number of correct predictions. */
    record Sums(double loss, long hits) {}

    /** Waits for running work and reads the sums. */
    Sums read();

    /** Sets the sums to zero. */
    void clear();
}
