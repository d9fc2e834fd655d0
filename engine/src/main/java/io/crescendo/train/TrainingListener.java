package io.crescendo.train;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.UpdateRecord;

/** Hears what happens during training, on the training thread; the next update waits until it returns. */
public interface TrainingListener {
    /** Training starts, or the scheduled batch, its micro-batches or what is recomputed for them changed. */
    default void phaseStarted(PhaseRecord phase) {}

    /** A parameter update is done. */
    default void updated(UpdateRecord update) {}

    /** The gradient's noise was measured; comes behind the update it was measured at. */
    default void gradientNoiseMeasured(GradientNoiseRecord noise) {}

    /** The device had less memory than the budget allowed; training goes on in smaller micro-batches. */
    default void memoryRefused(Steps.Refusal refusal) {}

    /** The network was measured on held-out data. */
    default void evaluated(EvaluationRecord evaluation) {}
}
