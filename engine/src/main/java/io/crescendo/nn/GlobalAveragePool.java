package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;

/** The mean over rows and columns: (N, C, H, W) becomes (N, C, 1, 1). */
public record GlobalAveragePool() implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("global pool");
        return tape.globalAveragePool(input);
    }
}
