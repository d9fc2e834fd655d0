package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;

/** Dropout while training; see {@link io.crescendo.autograd.Op.Dropout}. */
public record Dropout(double rate) implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("dropout");
        return tape.dropout(input, rate);
    }
}
