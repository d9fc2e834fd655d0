package io.crescendo.cli.run;

import io.crescendo.train.Trainer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Ctrl-C, turned into an orderly end: the present update is finished, files are completed, then the process ends with
 * the status the signal asked for (130).
 *
 * <p>While one is open, a shutdown of the JVM first stops the trainer and waits for {@link #close}.
 */
public final class Interruption implements AutoCloseable {
    /** Long enough for an update and an evaluation of a large network, short enough for the impatient. */
    private static final long PATIENCE_SECONDS = 30;

    private final CountDownLatch finished = new CountDownLatch(1);
    private final Thread hook;
    private volatile boolean requested;
    private volatile @Nullable Trainer trainer;

    public Interruption() {
        hook = new Thread(this::stopAndWait, "crescendo-interruption");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Whether the process is asked to end. */
    public boolean requested() {
        return requested;
    }

    /** The trainer to stop when the process is asked to end; null for none. */
    void watch(@Nullable Trainer running) {
        trainer = running;
        if (requested && running != null) {
            running.stop();
        }
    }

    private void stopAndWait() {
        requested = true;
        Trainer running = trainer;
        if (running != null) {
            running.stop();
        }
        try {
            if (!finished.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                System.err.println("crescendo: gave up waiting; the metrics files are whole up to the last update");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** All files are complete. */
    @Override
    public void close() {
        finished.countDown();
        if (!requested) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // Too late: the process is ending and the hook has just been released.
            }
        }
    }
}
