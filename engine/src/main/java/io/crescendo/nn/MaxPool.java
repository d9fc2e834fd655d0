package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;

/** The largest element of each window; see {@link io.crescendo.autograd.Op.MaxPool}. */
public record MaxPool(Window window) implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("max pool");
        return tape.maxPool(input, window);
    }
}
