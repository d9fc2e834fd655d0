package io.crescendo.safetensors;

import io.crescendo.tensor.DType;
import io.crescendo.tensor.Shape;

/**
 * One tensor of a file.
 *
 * @param name unique in its file
 * @param dtype of its elements
 * @param shape elements lie in row-major order
 */
public record TensorEntry(String name, DType dtype, Shape shape) {
    /** Bytes it takes in the file. */
    public long bytes() {
        return Math.multiplyExact(shape.elements(), (long) dtype.bytes());
    }
}
