package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;

/**
 * Batch normalisation over ghost batches; see {@link io.crescendo.autograd.Op.GhostBatchNorm}.
 *
 * @param name names its tensors {@code name.scale}, {@code shift}, {@code running_mean}, {@code running_variance}
 * @param epsilon added to the variance
 * @param momentum weight of the newest statistic in the running averages
 * @param firstScale what every scale starts at
 */
public record BatchNorm(String name, double epsilon, double momentum, double firstScale) implements Layer {
    /** The field's usual epsilon 1e-5 and momentum 0.1; scales start at 1. */
    public BatchNorm(String name) {
        this(name, 1e-5, 0.1, 1);
    }

    /**
     * The same with scales that start at 0. At the end of a residual branch, the network starts as if only the
     * shortcuts were there, which eases training with large batches (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
     */
    public BatchNorm startingAtZero() {
        return new BatchNorm(name, epsilon, momentum, 0);
    }

    @Override
    public Value apply(Tape tape, Value input) {
        tape.name(name);
        Shape channels = Shape.of(input.shape().dim(1));
        return tape.batchNorm(
                input,
                tape.parameter("scale", channels, Role.NORM_SCALE, Initializer.constant((float) firstScale)),
                tape.parameter("shift", channels, Role.NORM_SHIFT, Initializer.constant(0)),
                tape.statistic("running_mean", channels, Role.RUNNING_MEAN, Initializer.constant(0)),
                tape.statistic("running_variance", channels, Role.RUNNING_VARIANCE, Initializer.constant(1)),
                epsilon,
                momentum);
    }
}
