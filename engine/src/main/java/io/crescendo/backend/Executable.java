package io.crescendo.backend;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;

/** A program ready to run as often as needed; running allocates nothing. */
public interface Executable extends AutoCloseable {
    /**
     * Runs the program once. A training program adds to the gradient pack and updates running statistics; either kind
     * adds loss and hits to {@link Backend#metrics()}. May return before the device is done.
     *
     * <p>A finite loss does not promise finite inputs and weights: the largest of NaN and another number may be the
     * other one in a ReLU or a max pool on the CPU. What gradients come of it, an update refuses.
     *
     * @param feed exactly the program's micro-batch of samples
     */
    void run(Feed feed);

    /**
     * Runs the program once, as {@link #run} does, operation after operation with nothing overlapping, and adds the
     * seconds that each took by the device's clock. The whole may take longer than a run; may allocate.
     *
     * @param feed exactly the program's micro-batch of samples
     * @param seconds one entry per operation of the program
     */
    void profile(Feed feed, double[] seconds);

    /** Copies a {@link io.crescendo.autograd.Program#kept() kept} value of the last run, in row-major logical order. */
    void read(Value value, float[] destination);

    /** Refuses an array for {@link #profile} that has not one entry per operation. */
    static void requireEntries(double[] seconds, Program program) {
        if (seconds.length != program.ops().size()) {
            throw new IllegalArgumentException(
                    "there are " + seconds.length + " entries for seconds, but the program has "
                            + program.ops().size() + " operations");
        }
    }

    @Override
    void close();
}
