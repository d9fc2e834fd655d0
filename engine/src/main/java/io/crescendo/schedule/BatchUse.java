package io.crescendo.schedule;

/**
 * One size of update that a plan visits.
 *
 * @param samples the size, of a scheduled batch or of one cut by an epoch's ragged end
 * @param updates how many updates have it
 * @param firstSample no update of this size begins before this sample of the run
 * @param lastSample no update of this size begins after this one
 */
public record BatchUse(long samples, long updates, long firstSample, long lastSample) {
    /** Both uses of one size as one. */
    BatchUse and(BatchUse other) {
        return new BatchUse(
                samples,
                updates + other.updates,
                Math.min(firstSample, other.firstSample),
                Math.max(lastSample, other.lastSample));
    }
}
