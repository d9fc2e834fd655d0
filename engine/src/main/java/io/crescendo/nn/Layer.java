package io.crescendo.nn;

import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import java.util.List;

/** A function from a value to a value, recorded on a tape. */
@FunctionalInterface
public interface Layer {
    /**
     * Records this layer.
     *
     * @throws IllegalArgumentException if the input has not the shape that the layer takes; the message names both
     */
    Value apply(Tape tape, Value input);

    /** The layers one after another. */
    static Layer sequence(Layer... layers) {
        List<Layer> list = List.of(layers);
        return (tape, input) -> {
            Value value = input;
            for (Layer layer : list) {
                value = layer.apply(tape, value);
            }
            return value;
        };
    }

    /** This layer, then another. */
    default Layer then(Layer next) {
        return (tape, input) -> next.apply(tape, apply(tape, input));
    }
}
