package io.crescendo.schedule;

/**
 * One phase of a plan: neighbouring updates with the same batch and no schedule boundary between them.
 *
 * @param firstEpoch where its first update begins
 * @param lastEpoch where the next phase begins, or training ends
 * @param batch scheduled samples per update
 * @param learningRate at its first update
 * @param momentum at its first update
 * @param noiseScale εN/(B(1−m)) at its first update
 * @param updates parameter updates in this phase
 * @param lastLearningRate at its last update; differs from learningRate when the schedule is smooth
 * @param lastNoiseScale εN/(B(1−m)) at its last update
 */
public record PlanRow(
        double firstEpoch,
        double lastEpoch,
        long batch,
        double learningRate,
        double momentum,
        double noiseScale,
        long updates,
        double lastLearningRate,
        double lastNoiseScale) {}
