package io.crescendo.autograd;

/** A pattern of operations that a backend can run as one. */
public enum Fusion {
    /** {@code relu(norm(x))} as one {@link Op.GhostBatchNorm} or {@link Op.BatchNormInference}. */
    NORM_RELU,
    /** {@code norm(x) + y}, with or without a ReLU behind it, as one norm. */
    NORM_ADD,
    /** {@code conv(x) + y} as one {@link Op.Conv2d} that adds to y in place. */
    CONV_ADD,
    /** {@code relu(conv(x))} as one {@link Op.Conv2d}. */
    CONV_RELU,
    /** {@code relu(x + y)} as one {@link Op.Add}. */
    ADD_RELU,
    /**
     * The gradient by a norm's input, added to what others contribute to it, as one {@link Op.GhostBatchNormGradient}.
     */
    NORM_GRADIENT_ADD,
    /**
     * The gradient by a convolution's input, added to what others contribute to it in place, as one
     * {@link Op.Conv2dInputGradient}.
     */
    CONV_GRADIENT_ADD
}
