package io.crescendo.train;

/**
 * Choices of a training run that are neither network, plan nor optimizer.
 *
 * @param ghostBatch samples per batch-norm statistic; the last group of a batch takes what is left, so a batch that is
 *     smaller has one statistic over all of it
 * @param labelSmoothing of the softmax cross-entropy, in [0, 1)
 * @param memoryBudgetBytes what the workspace arena may hold; batches that need more are split into micro-batches.
 *     {@link Long#MAX_VALUE} stands for nine tenths of the device's memory, and for no limit where it does not say how
 *     much that is
 * @param evaluateEveryEpochs the test set is evaluated after every so many epochs, and at the end; infinity for the end
 *     alone
 * @param seed decides weights, order of samples, augmentation and dropout
 * @param gradientNoiseEvery updates from one measurement of the gradient's noise to the next, 0 for none; see
 *     {@link io.crescendo.metrics.GradientNoise}
 */
public record TrainingOptions(
        int ghostBatch,
        double labelSmoothing,
        long memoryBudgetBytes,
        double evaluateEveryEpochs,
        long seed,
        int gradientNoiseEvery) {
    /**
     * Ghost batch 128, no smoothing, most of the device as the budget, evaluation after every epoch, seed 1, noise not
     * measured.
     */
    public static final TrainingOptions DEFAULT = new TrainingOptions(128, 0, Long.MAX_VALUE, 1, 1, 0);

    public TrainingOptions {
        if (ghostBatch < 1) {
            throw new IllegalArgumentException("the ghost batch must be at least 1, but is " + ghostBatch);
        }
        if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
            throw new IllegalArgumentException("label smoothing must be in [0, 1), but is " + labelSmoothing);
        }
        if (memoryBudgetBytes < 1) {
            throw new IllegalArgumentException("the memory budget must be positive, but is " + memoryBudgetBytes);
        }
        if (!(evaluateEveryEpochs > 0)) {
            throw new IllegalArgumentException(
                    "the epochs between evaluations must be positive, but are " + evaluateEveryEpochs);
        }
        if (gradientNoiseEvery < 0) {
            throw new IllegalArgumentException("the updates between measurements of the gradient's noise must be at"
                    + " least 1, or 0 for none, but are " + gradientNoiseEvery);
        }
    }

    /** The same with another ghost batch. */
    public TrainingOptions withGhostBatch(int newGhostBatch) {
        return new TrainingOptions(
                newGhostBatch, labelSmoothing, memoryBudgetBytes, evaluateEveryEpochs, seed, gradientNoiseEvery);
    }

    /** The same with another seed. */
    public TrainingOptions withSeed(long newSeed) {
        return new TrainingOptions(
                ghostBatch, labelSmoothing, memoryBudgetBytes, evaluateEveryEpochs, newSeed, gradientNoiseEvery);
    }

    /** The same with another memory budget. */
    public TrainingOptions withMemoryBudget(long bytes) {
        return new TrainingOptions(ghostBatch, labelSmoothing, bytes, evaluateEveryEpochs, seed, gradientNoiseEvery);
    }

    /** The same with the gradient's noise measured at every so many updates, or never for 0. */
    public TrainingOptions withGradientNoise(int everyUpdates) {
        return new TrainingOptions(
                ghostBatch, labelSmoothing, memoryBudgetBytes, evaluateEveryEpochs, seed, everyUpdates);
    }
}
