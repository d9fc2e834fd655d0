package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;

/**
 * Every element times one number that is not learned; see {@link io.crescendo.autograd.Op.Scale}.
 *
 * <p>In front of the sum of a {@link Residual} it keeps wide residual branches from growing beyond the shortcut
 * (Szegedy et al. 2016, arXiv 1602.07261, section 3.3).
 */
public record Scale(double factor) implements Layer {
    @Override
    public Value apply(Tape tape, Value input) {
        tape.name("scale");
        return tape.scale(input, factor);
    }
}
