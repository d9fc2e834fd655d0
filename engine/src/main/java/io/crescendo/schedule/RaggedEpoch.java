package io.crescendo.schedule;

/**
 * What becomes of the samples at an epoch's end that do not fill a batch.
 *
 * <p>With N samples and a constant batch B an epoch has ⌊N/B⌋ updates under {@link #DROP} and ⌈N/B⌉ under
 * {@link #KEEP}.
 */
public enum RaggedEpoch {
    /** Skip them: the clock moves to the epoch's end, so that epochs stay aligned and every update is a full batch. */
    DROP,
    /** Use them: the epoch's last update has fewer samples, at the scheduled learning rate. */
    KEEP
}
