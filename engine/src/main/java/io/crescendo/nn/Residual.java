package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;

/**
 * y = body(x) + shortcut(x) (He et al. 2015, arXiv 1512.03385).
 *
 * @param body the residual branch
 * @param shortcut the other branch; {@link #IDENTITY} where shapes agree
 */
public record Residual(Layer body, Layer shortcut) implements Layer {
    /** The input itself. */
    public static final Layer IDENTITY = (tape, input) -> input;

    @Override
    public Value apply(Tape tape, Value input) {
        Value through = shortcut.apply(tape, input);
        return tape.add(body.apply(tape, input), through);
    }
}
