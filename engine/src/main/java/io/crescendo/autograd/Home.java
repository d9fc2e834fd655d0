package io.crescendo.autograd;

/** Where a value's elements live. */
public enum Home {
    /** Fed from outside at each run: the normalised images, (N, C, H, W). */
    IMAGES,
    /** Fed from outside at each run: the class of each sample, (N) int32. */
    LABELS,
    /** The flat pack of learned parameters. */
    WEIGHTS,
    /** The flat pack of their gradients; operations add to it. */
    GRADIENTS,
    /** The flat pack of running means and variances. */
    STATISTICS,
    /** The workspace arena: dies within the step. */
    ARENA
}
