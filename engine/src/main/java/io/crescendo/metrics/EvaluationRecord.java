package io.crescendo.metrics;

/**
 * The network measured on held-out data.
 *
 * @param update parameter updates made so far
 * @param epoch training epochs seen so far
 * @param samples test samples that were evaluated
 * @param loss mean loss
 * @param accuracy share classified correctly
 */
public record EvaluationRecord(long update, double epoch, int samples, double loss, double accuracy) {}
