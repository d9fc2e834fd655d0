package io.crescendo.backend;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.Random;

/** Records layers with random parameters on a tape: the smallest builder that the tests can do with. */
public final class Layers {
    private final Tape tape;
    private int count;

    /** Layers for one tape. */
    public Layers(Tape tape) {
        this.tape = tape;
    }

    /** The tape, for operations without parameters. */
    public Tape tape() {
        return tape;
    }

    /** Convolution to {@code outputs} channels. */
    public Value conv(Value input, int outputs, Window window, int groups, boolean bias) {
        tape.name("conv" + count++);
        long inputs = input.shape().dim(1) / groups;
        Shape shape = Shape.of(outputs, inputs, window.kernelHeight(), window.kernelWidth());
        Value weight = tape.parameter("weight", shape, Role.WEIGHT, uniform(fan(shape)));
        return tape.conv2d(input, weight, bias ? bias(outputs) : null, window, groups);
    }

    /** Square convolution without bias or groups that keeps the extent for stride 1. */
    public Value conv(Value input, int outputs, int kernel, int stride) {
        return conv(input, outputs, Window.square(kernel, stride, kernel / 2), 1, false);
    }

    /** Dense layer; flattens what needs it. */
    public Value dense(Value input, int outputs, boolean bias) {
        tape.name("dense" + count++);
        Value flat = tape.flatten(input);
        Shape shape = Shape.of(outputs, flat.shape().dim(1));
        Value weight = tape.parameter("weight", shape, Role.WEIGHT, uniform(fan(shape)));
        return tape.dense(flat, weight, bias ? bias(outputs) : null);
    }

    /** Batch norm with scales and variances away from zero. */
    public Value norm(Value input) {
        tape.name("norm" + count++);
        Shape shape = Shape.of(input.shape().dim(1));
        return tape.batchNorm(
                input,
                tape.parameter("scale", shape, Role.NORM_SCALE, around(1, 0.5)),
                tape.parameter("shift", shape, Role.NORM_SHIFT, around(0, 0.5)),
                tape.statistic("mean", shape, Role.RUNNING_MEAN, around(0, 0.5)),
                tape.statistic("variance", shape, Role.RUNNING_VARIANCE, around(1, 0.5)),
                1e-3,
                0.1);
    }

    private Value bias(int outputs) {
        return tape.parameter("bias", Shape.of(outputs), Role.BIAS, around(0, 0.5));
    }

    /** Keeps activations near one in size: uniform with variance 1 / fan-in. */
    private static double fan(Shape weight) {
        return Math.sqrt(3.0 / weight.elementsPerSample());
    }

    private static Initializer uniform(double bound) {
        return around(0, bound);
    }

    private static Initializer around(double centre, double bound) {
        return (shape, key, values) -> {
            Random random = new Random(key);
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (centre + bound * (2 * random.nextDouble() - 1));
            }
        };
    }
}
