package io.crescendo.autograd;

import io.crescendo.tensor.DType;
import io.crescendo.tensor.Shape;

/**
 * One tensor in a program: an input, a slice of a pack, or the result of exactly one operation.
 *
 * @param id position in {@link Program#values()}
 * @param name for people: the layer that made it
 * @param shape logical shape, (N, C, H, W) or (N, F) for activations
 * @param dtype nominal element type; a backend may store a value in a narrower type or another layout
 * @param home where the elements live
 * @param offset for values that live in a pack, the first element's index there; otherwise 0
 */
public record Value(int id, String name, Shape shape, DType dtype, Home home, long offset) {
    /** Bytes in the nominal dtype and a dense layout. */
    public long bytes() {
        return Math.multiplyExact(shape.elements(), dtype.bytes());
    }

    /** The id with the name and shape: {@code %12 conv1 (128, 16, 32, 32)}. */
    @Override
    public String toString() {
        return "%" + id + " " + name + " " + shape;
    }
}
