package io.crescendo.bench;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What a benchmark does per second besides its operations. */
public final class Rate {
    private Rate() {}

    /** Images per second. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Images {
        /** Images that went through. */
        public long images;

        /** Starts every iteration at zero. */
        @Setup(Level.Iteration)
        public void reset() {
            images = 0;
        }
    }

    /** Bytes per second, read plus written. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Bytes {
        /** Bytes read plus bytes written. */
        public long bytes;

        /** Starts every iteration at zero. */
        @Setup(Level.Iteration)
        public void reset() {
            bytes = 0;
        }
    }
}
