package io.crescendo.autograd;

/** What a program is for. */
public enum Mode {
    /** Forward and backward, batch statistics, dropout active. */
    TRAINING,
    /** Forward only, running statistics, no dropout. */
    INFERENCE
}
