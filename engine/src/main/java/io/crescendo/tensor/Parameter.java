package io.crescendo.tensor;

/**
 * One named tensor inside a {@link ParameterPack}.
 *
 * @param name unique in its pack, for example {@code group1.block0.conv1.weight}
 * @param shape logical shape; the pack holds the elements in row-major order
 * @param role what the tensor is for
 * @param initializer makes the first values
 * @param offset where the tensor starts in the pack, in elements
 */
public record Parameter(String name, Shape shape, Role role, Initializer initializer, long offset) {
    /** One past the last element, in elements from the start of the pack. */
    public long end() {
        return offset + shape.elements();
    }

    /** What the tensor starts from; the same seed and name give the same numbers, whatever else is in the pack. */
    public float[] initialValues(long seed) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        initializer.initialize(shape, seed * 0x9E3779B97F4A7C15L + name.hashCode(), values);
        return values;
    }
}
