package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;

/** The rectifier, max(x, 0). */
public record Relu() implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("relu");
        return tape.relu(input);
    }
}
