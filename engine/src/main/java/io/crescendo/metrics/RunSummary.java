package io.crescendo.metrics;

/**
 * The outcome of one training run: a line of a results table.
 *
 * @param schedule name of the schedule: {@code decaying}, {@code hybrid}, {@code increasing} or a user's own
 * @param seed the run's seed
 * @param epochs epochs trained
 * @param updates parameter updates made
 * @param trainLoss mean training loss over the last epoch
 * @param testLoss mean loss of the last evaluation
 * @param testAccuracy accuracy of the last evaluation, 0 to 1
 * @param imagesPerSecond training samples divided by the time spent training, evaluation excluded
 * @param seconds wall time of the whole run
 * @param peakWorkspaceBytes the most the arena ever held
 */
public record RunSummary(
        String schedule,
        long seed,
        double epochs,
        long updates,
        double trainLoss,
        double testLoss,
        double testAccuracy,
        double imagesPerSecond,
        double seconds,
        long peakWorkspaceBytes) {}
