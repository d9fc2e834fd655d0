package io.crescendo.backend;

import java.util.Locale;

/**
 * How to open a backend.
 *
 * @param threads processor threads to use; 0 means all
 * @param precision number format of products and activations
 * @param graphs whether a device that can record a program replays the recording; without, an error names its operation
 * @param deterministic whether only algorithms are chosen that give the same bits in every run
 */
public record BackendOptions(int threads, Precision precision, boolean graphs, boolean deterministic) {
    /** More than a machine has processors; starting many more could leave none for others. */
    public static final int MOST_THREADS = 1024;

    /** All threads, float32, recorded programs, the fastest algorithms. */
    public static final BackendOptions DEFAULT = new BackendOptions(0, Precision.FP32, true, false);

    public BackendOptions {
        if (threads < 0 || threads > MOST_THREADS) {
            throw new IllegalArgumentException(
                    "threads must be 0 (all) or 1 to " + MOST_THREADS + ", but is " + threads);
        }
    }

    /** The {@link #DEFAULT} with a number of threads. */
    public BackendOptions(int threads) {
        this(threads, Precision.FP32, true, false);
    }

    public BackendOptions withThreads(int newThreads) {
        return new BackendOptions(newThreads, precision, graphs, deterministic);
    }

    public BackendOptions withPrecision(Precision newPrecision) {
        return new BackendOptions(threads, newPrecision, graphs, deterministic);
    }

    public BackendOptions withGraphs(boolean newGraphs) {
        return new BackendOptions(threads, precision, newGraphs, deterministic);
    }

    public BackendOptions withDeterministic(boolean newDeterministic) {
        return new BackendOptions(threads, precision, graphs, newDeterministic);
    }

    /**
     * For backends that compute in one format only.
     *
     * @param device the backend's name
     * @throws IllegalArgumentException if another precision than {@link Precision#FP32} was asked for
     */
    public void requireFloat32(String device) {
        if (precision != Precision.FP32) {
            throw new IllegalArgumentException("the device '" + device + "' computes in fp32 only, but precision "
                    + precision.name().toLowerCase(Locale.ROOT) + " was asked for; use fp32, or the device 'cuda'");
        }
    }
}
