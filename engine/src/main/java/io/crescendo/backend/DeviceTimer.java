package io.crescendo.backend;

/**
 * A stopwatch on the device's own clock: the time between two points of the work that it was given.
 *
 * <p>Where a backend returns before its device is done, the host's clock shows how fast work is handed over, or with a
 * wait, also the way there and back.
 *
 * <pre>{@code
 * timer.start();
 * for (int i = 0; i < 100; i++) {
 *     step.run(feed);
 * }
 * timer.stop();
 * double secondsEach = timer.seconds() / 100; // waits for the device
 * }</pre>
 */
public interface DeviceTimer extends AutoCloseable {
    /** Begins where all work ends that was handed over before. */
    void start();

    /** Ends where all work ends that was handed over before. */
    void stop();

    /**
     * Waits until the device has come to the end.
     *
     * @throws IllegalStateException unless {@link #start} and then {@link #stop} were called
     */
    double seconds();

    @Override
    void close();
}
