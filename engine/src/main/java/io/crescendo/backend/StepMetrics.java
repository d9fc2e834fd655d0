package io.crescendo.backend;

/**
 * Loss and hits of the samples that run, summed on the device.
 *
 * <p>{@link #take} is for training: it costs no wait, so a device may be several updates ahead of the host that reads
 * its sums. {@link #read} and {@link #clear} are for everyone who stands still anyway, an evaluation for example.
 *
 * <pre>{@code
 * step.run(feed);
 * StepMetrics.Reading reading = backend.metrics().take();
 * update.apply(scalars);                       // does nothing if the device finds the loss above not finite
 * // ... further updates ...
 * double loss = reading.sums().loss() / batch; // waits for the device, if it must
 * }</pre>
 *
 * <p>IMPLEMENTATION NOTES. A backend that waits for its device anyway answers {@code take} at once. One that answers
 * later owes its callers what the host can no longer do in time: from the first taken reading whose loss is infinite or
 * NaN on, the device itself skips every {@link UpdateKernel#apply} until {@link #clear}. Weights and optimizer state
 * then stay as they were before the update that belongs to that reading; gradients and running statistics need not.
 * Only sums closed by {@code take} count for this: an evaluation may meet what it likes.
 *
 * <p>Every backend owes the same for gradients: once an {@link UpdateKernel#apply} met one that is infinite or NaN, it
 * and all later ones are skipped, and {@code read} and {@code take} answer NaN for the loss, until {@link #clear}.
 */
public interface StepMetrics {
    /** Loss summed over samples and number of correct predictions. */
    record Sums(double loss, long hits) {}

    /** Sums that no longer change, perhaps still on their way from the device. */
    interface Reading {
        /**
         * Whether {@link #sums} would answer without waiting. Once true it stays true, also for all readings before.
         */
        boolean isDone();

        /** The sums; waits for the device if it must. */
        Sums sums();

        /** A reading that is there already. */
        static Reading of(Sums sums) {
            return new Reading() {
                @Override
                public boolean isDone() {
                    return true;
                }

                @Override
                public Sums sums() {
                    return sums;
                }
            };
        }
    }

    /** Waits for running work and reads the sums over all samples that ran since the last {@link #take} or clear. */
    Sums read();

    /** Sets the sums to zero and forgets that a loss or a gradient was not finite. Earlier readings keep their sums. */
    void clear();

    /**
     * Closes the sums over all samples that ran since the last take or clear, and starts new ones at zero.
     *
     * <p>If the reading it returns is done, the device has not begun anything after it: whoever dislikes the sums need
     * not call the update. If it is not done, the device skips updates as the notes above say.
     */
    Reading take();
}
