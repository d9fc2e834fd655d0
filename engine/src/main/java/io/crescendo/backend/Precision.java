package io.crescendo.backend;

/**
 * The number format in which a device multiplies and keeps activations.
 *
 * <p>Whatever the choice, weights, the gradient pack, optimizer state and batch-norm statistics are float32, and sums
 * over a batch are at least that.
 */
public enum Precision {
    /** float32 throughout: 24 bits of significand. */
    FP32,
    /** float32 in memory; products on tensor cores round their factors to 11 bits of significand. */
    TF32,
    /** Activations and a second copy of the weights in bfloat16: 8 bits of significand, float32's range. */
    BF16
}
