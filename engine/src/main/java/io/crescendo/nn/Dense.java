package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;

/**
 * A fully connected layer with bias; see {@link io.crescendo.autograd.Op.Dense}. Flattens (N, C, H, W) first.
 *
 * @param name names its parameters {@code name.weight} and {@code name.bias}
 * @param outputs K
 * @param initializer first values of the weight; the bias starts at zero
 */
public record Dense(String name, int outputs, Initializer initializer) implements Layer {
    /** Initialised with {@link Initializers#lecunUniform()}. */
    public Dense(String name, int outputs) {
        this(name, outputs, Initializers.lecunUniform());
    }

    @Override
    public Value apply(Tape tape, Value input) {
        tape.name(name);
        Value flat = tape.flatten(input);
        Value weight = tape.parameter("weight", Shape.of(outputs, flat.shape().dim(1)), Role.WEIGHT, initializer);
        Value bias = tape.parameter("bias", Shape.of(outputs), Role.BIAS, Initializer.constant(0));
        return tape.dense(flat, weight, bias);
    }
}
