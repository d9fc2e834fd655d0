package io.crescendo.data;

import java.util.Objects;

/** A data set held in two arrays: uint8 pixels (N, C, H, W) and uint8 labels (N). */
public final class InMemoryDataset implements Dataset {
    private final String name;
    private final int classes;
    private final ImageShape shape;
    private final byte[] pixels;
    private final byte[] labels;

    /**
     * Wraps the arrays without copying them; the caller gives them up.
     *
     * @throws IllegalArgumentException if the arrays disagree with each other or a label is not below classes
     */
    public InMemoryDataset(String name, int classes, ImageShape shape, byte[] pixels, byte[] labels) {
        if (labels.length == 0) {
            throw new IllegalArgumentException("data set '" + name + "' holds no image; give at least one");
        }
        if (classes < 1 || classes > 256) {
            throw new IllegalArgumentException(
                    "data set '" + name + "' declares " + classes + " classes; a uint8 label allows 1 to 256");
        }
        if (pixels.length != (long) labels.length * shape.pixels()) {
            throw new IllegalArgumentException("data set '" + name + "' holds " + labels.length + " labels and "
                    + pixels.length + " pixels; " + shape + " needs " + (long) labels.length * shape.pixels());
        }
        for (int index = 0; index < labels.length; index++) {
            if ((labels[index] & 0xFF) >= classes) {
                throw new IllegalArgumentException("data set '" + name + "' has label " + (labels[index] & 0xFF)
                        + " at index " + index + "; labels must lie in [0, " + classes + ")");
            }
        }
        this.name = name;
        this.classes = classes;
        this.shape = shape;
        this.pixels = pixels;
        this.labels = labels;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int size() {
        return labels.length;
    }

    @Override
    public int classes() {
        return classes;
    }

    @Override
    public ImageShape shape() {
        return shape;
    }

    @Override
    public int label(int index) {
        return labels[index] & 0xFF;
    }

    @Override
    public void copyImage(int index, byte[] destination, int offset) {
        Objects.checkIndex(index, labels.length);
        int length = shape.pixels();
        System.arraycopy(pixels, index * length, destination, offset, length);
    }
}
