package io.crescendo.tensor;

/** What a stored tensor is for; decides, among other things, whether weight decay applies to it. */
public enum Role {
    /** The weight of a convolution or dense layer. */
    WEIGHT,
    /** An additive bias. */
    BIAS,
    /** The multiplicative parameter of a normalisation, often written gamma. */
    NORM_SCALE,
    /** The additive parameter of a normalisation, often written beta. */
    NORM_SHIFT,
    /** A running mean; not learned, kept in the statistics pack. */
    RUNNING_MEAN,
    /** A running variance; not learned, kept in the statistics pack. */
    RUNNING_VARIANCE
}
