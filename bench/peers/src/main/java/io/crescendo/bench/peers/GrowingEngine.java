package io.crescendo.bench.peers;

import io.crescendo.bench.FixedBatch;

/** An engine that trains one model with batches of different sizes. */
interface GrowingEngine extends AutoCloseable {
    /**
     * Makes of a batch what the engine reads; not part of what is timed. Nothing for an engine that gathers its batches
     * itself.
     */
    default void load(FixedBatch batch) {}

    /**
     * One update with the loaded batch of this size; returns the mean loss before it.
     *
     * @param next the batch of the update after it, 0 for none: an engine may use the time to get ready
     */
    double step(int batch, int next);

    /** Name, version and what was chosen, for the record. */
    String description();

    @Override
    void close();
}
