package io.crescendo.backend;

import io.crescendo.autograd.Value;

/** A program ready to run as often as needed; running allocates nothing. */
public interface Executable extends AutoCloseable {
    /**
     * Runs the program once. A training program adds to the gradient pack and updates running statistics; either kind
     * adds loss and hits to {@link Backend#metrics()}. May return before the device is done.
     *
     * @param feed exactly the program's micro-batch of samples
     */
    void run(Feed feed);

    /** Copies a {@link io.crescendo.autograd.Program#kept() kept} value of the last run, in row-major logical order. */
    void read(Value value, float[] destination);

    @Override
    void close();
}
