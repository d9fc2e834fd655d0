package io.crescendo.bench.gpu;

/** A moment that is not to be passed. */
final class Deadline {
    private final long end;

    private Deadline(long end) {
        this.end = end;
    }

    static Deadline in(double seconds) {
        return new Deadline(System.nanoTime() + (long) (seconds * 1e9));
    }

    /** Seconds until then; negative afterwards. */
    double left() {
        return (end - System.nanoTime()) * 1e-9;
    }
}
