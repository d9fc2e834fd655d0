package io.crescendo.schedule;

/**
 * The next parameter update of a plan.
 *
 * <p>The learning rate is not reduced for a ragged update: the gradient is a mean over {@code samples}, and one short
 * update per epoch, whose noise scale is higher, is no part of the schedule.
 *
 * @param phase the scheduled settings
 * @param samples the samples this update really uses: the phase's batch, or fewer at an epoch's ragged end
 */
public record PlannedUpdate(Phase phase, long samples) {
    /** Whether an epoch's end cut this update short. */
    public boolean ragged() {
        return samples < phase.batch();
    }

    /** The noise scale of this update on a training set of {@code samplesPerEpoch} samples: of those it really uses. */
    public NoiseScale noiseScale(long samplesPerEpoch) {
        return new NoiseScale(phase.learningRate(), samples, phase.momentum(), samplesPerEpoch);
    }
}
