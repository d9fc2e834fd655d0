package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.List;

/**
 * Layers side by side: y is branch₁(x), branch₂(x), … joined along the channels; see
 * {@link io.crescendo.autograd.Op.Concat}.
 *
 * <p>The branches may differ in channels and must agree in rows and columns: (N, C₁, H, W), (N, C₂, H, W), … become (N,
 * C₁ + C₂ + …, H, W). The module of Szegedy et al. 2014 (arXiv 1409.4842).
 *
 * @param branches in the order of their channels
 */
public record Branches(List<Layer> branches) implements Layer {
    public Branches {
        branches = List.copyOf(branches);
        if (branches.isEmpty()) {
            throw new IllegalArgumentException("there must be at least one branch");
        }
    }

    /** These branches. */
    public static Branches of(Layer... branches) {
        return new Branches(List.of(branches));
    }

    @Override
    public Value apply(Tape tape, Value input) {
        List<Value> outputs = new ArrayList<>();
        for (Layer branch : branches) {
            outputs.add(branch.apply(tape, input));
        }
        tape.name("branches");
        return tape.concat(outputs);
    }
}
