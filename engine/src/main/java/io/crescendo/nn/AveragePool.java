package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;

/** The mean of each window; see {@link io.crescendo.autograd.Op.AveragePool}. */
public record AveragePool(Window window) implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("average pool");
        return tape.averagePool(input, window);
    }
}
