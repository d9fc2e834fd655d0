package io.crescendo.optim;

import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.Role;
import java.util.function.Predicate;

/** Which parameters weight decay applies to. */
public enum DecayPolicy implements Predicate<Parameter> {
    /** Weights of convolutions and dense layers; neither biases nor norm scales and shifts (Goyal et al. 2017). */
    WEIGHTS,
    /** Everything that is learned, as the original Wide ResNet does. */
    ALL_PARAMETERS;

    @Override
    public boolean test(Parameter parameter) {
        return this == ALL_PARAMETERS || parameter.role() == Role.WEIGHT;
    }
}
