package io.crescendo.bench.peers;

/** A training step under measurement. */
public interface Engine extends AutoCloseable {
    /**
     * Forward, backward, SGD with momentum 0.9 and the common weight decay; returns the mean loss before the update.
     */
    double step();

    /** Name, version and what was chosen, for the record. */
    String description();

    /** Bytes that were planned ahead for everything that dies within a step; 0 where nothing is planned. */
    default long plannedBytes() {
        return 0;
    }

    @Override
    void close();
}
