package io.crescendo.data;

import java.util.Objects;

/** A view of some images of another data set, in a given order; image i is image indices[i] of the source. */
public final class Subset implements Dataset {
    private final String name;
    private final Dataset source;
    private final int[] indices;

    /** @throws IllegalArgumentException if there is no index or one is not an image of the source */
    public Subset(String name, Dataset source, int... indices) {
        if (indices.length == 0) {
            throw new IllegalArgumentException(
                    "subset '" + name + "' of '" + source.name() + "' has no images; give at least one index");
        }
        for (int index : indices) {
            if (index < 0 || index >= source.size()) {
                throw new IllegalArgumentException("subset '" + name + "': index " + index + " is not in [0, "
                        + source.size() + "), the images of '" + source.name() + "'");
            }
        }
        this.name = name;
        this.source = source;
        this.indices = indices.clone();
    }

    /** The images [from, to) of the source. */
    public static Subset range(String name, Dataset source, int from, int to) {
        if (from < 0 || to > source.size() || from >= to) {
            throw new IllegalArgumentException("subset '" + name + "': range [" + from + ", " + to
                    + ") must be non-empty and lie in [0, " + source.size() + "), the images of '" + source.name()
                    + "'");
        }
        int[] indices = new int[to - from];
        for (int position = 0; position < indices.length; position++) {
            indices[position] = from + position;
        }
        return new Subset(name, source, indices);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int size() {
        return indices.length;
    }

    @Override
    public int classes() {
        return source.classes();
    }

    @Override
    public ImageShape shape() {
        return source.shape();
    }

    @Override
    public int label(int index) {
        return source.label(indices[Objects.checkIndex(index, indices.length)]);
    }

    @Override
    public void copyImage(int index, byte[] destination, int offset) {
        source.copyImage(indices[Objects.checkIndex(index, indices.length)], destination, offset);
    }
}
