package io.crescendo.tensor;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The layout of many tensors in one flat array of float32.
 *
 * <p>Each tensor starts at a multiple of {@value #ALIGNMENT} elements (64 bytes, a cache line and the widest vector
 * register), so that vector loads are aligned; the few elements between tensors stay zero. The optimizer treats the
 * pack as one long vector.
 */
public final class ParameterPack {
    /** Every tensor starts at a multiple of this many elements. */
    public static final int ALIGNMENT = 16;

    private final List<Parameter> parameters;
    private final long elements;

    private ParameterPack(List<Parameter> parameters, long elements) {
        this.parameters = parameters;
        this.elements = elements;
    }

    /** Starts an empty layout. */
    public static Builder builder() {
        return new Builder();
    }

    /** All tensors in the order of their offsets. */
    public List<Parameter> parameters() {
        return parameters;
    }

    /** Length of the flat array in elements, alignment gaps included. */
    public long elements() {
        return elements;
    }

    /** How many numbers the tensors hold, alignment gaps excluded: the published "number of parameters". */
    public long count() {
        return parameters.stream().mapToLong(p -> p.shape().elements()).sum();
    }

    /** Collects tensors and assigns their offsets. */
    public static final class Builder {
        private final List<Parameter> parameters = new ArrayList<>();
        private final Set<String> names = new HashSet<>();
        private long end;

        private Builder() {}

        /** Appends a tensor; its name must be new. */
        public Parameter add(String name, Shape shape, Role role, Initializer initializer) {
            if (!names.add(name)) {
                throw new IllegalArgumentException(
                        "the network has two tensors named '" + name + "'; give one of the two layers another name");
            }
            Parameter parameter = new Parameter(name, shape, role, initializer, end);
            parameters.add(parameter);
            end = Math.addExact(end, (shape.elements() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
            return parameter;
        }

        /** The finished layout. */
        public ParameterPack build() {
            return new ParameterPack(List.copyOf(parameters), end);
        }
    }
}
