package io.crescendo.reference;

import io.crescendo.tensor.Shape;

/** One value's elements: dense and row-major, starting at some offset of an array that it shares with others. */
final class Tensor {
    private final double[] data;
    private final int offset;
    private final Shape shape;

    Tensor(double[] data, int offset, Shape shape) {
        this.data = data;
        this.offset = offset;
        this.shape = shape;
    }

    Shape shape() {
        return shape;
    }

    double get(int index) {
        return data[offset + index];
    }

    void set(int index, double value) {
        data[offset + index] = value;
    }

    void add(int index, double value) {
        data[offset + index] += value;
    }

    int elements() {
        return Math.toIntExact(shape.elements());
    }

    int dim(int dimension) {
        return shape.intDim(dimension);
    }

    /** Rows times columns of (N, C, H, W): the elements of one channel of one sample. */
    int plane() {
        return dim(2) * dim(3);
    }
}
