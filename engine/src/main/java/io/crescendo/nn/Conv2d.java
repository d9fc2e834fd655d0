package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import org.jspecify.annotations.Nullable;

/**
 * A convolution layer; see {@link io.crescendo.autograd.Op.Conv2d}.
 *
 * @param name names its parameters {@code name.weight} and {@code name.bias}
 * @param outputChannels K
 * @param window kernel, stride and padding
 * @param groups 1 for an ordinary convolution
 * @param bias whether a bias is added; useless in front of a batch norm
 * @param initializer first values of the weight; the bias starts at zero
 */
public record Conv2d(String name, int outputChannels, Window window, int groups, boolean bias, Initializer initializer)
        implements Layer {
    /** Without bias, initialised with {@link Initializers#heNormalFanIn()}. */
    public Conv2d(String name, int outputChannels, Window window) {
        this(name, outputChannels, window, 1, false, Initializers.heNormalFanIn());
    }

    @Override
    public Value apply(Tape tape, Value input) {
        tape.name(name);
        if (input.shape().rank() != 4 || groups < 1 || input.shape().dim(1) % groups != 0) {
            throw new IllegalArgumentException("layer '" + name + "': a convolution with " + groups
                    + " groups needs (N, C, H, W) with C a multiple of the groups, but the input is " + input.shape());
        }
        Value weight = tape.parameter(
                "weight",
                Shape.of(outputChannels, input.shape().dim(1) / groups, window.kernelHeight(), window.kernelWidth()),
                Role.WEIGHT,
                initializer);
        @Nullable
        Value biasValue =
                bias ? tape.parameter("bias", Shape.of(outputChannels), Role.BIAS, Initializer.constant(0)) : null;
        return tape.conv2d(input, weight, biasValue, window, groups);
    }
}
