package io.crescendo.backend;

/**
 * How to open a backend.
 *
 * @param threads processor threads to use; 0 means all
 */
public record BackendOptions(int threads) {
    /** All threads. */
    public static final BackendOptions DEFAULT = new BackendOptions(0);

    public BackendOptions {
        if (threads < 0) {
            throw new IllegalArgumentException("threads must be 0 (all) or positive, but is " + threads);
        }
    }
}
