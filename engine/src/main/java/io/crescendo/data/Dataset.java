package io.crescendo.data;

/**
 * A fixed, ordered set of labelled images of one shape.
 *
 * <p>Implementations are immutable and may be read by several threads at once.
 */
public interface Dataset {
    /** The name shown to users, such as {@code fashion-mini/training}. */
    String name();

    /** Count of images; indices run over [0, size). */
    int size();

    /** Count of classes; labels lie in [0, classes). */
    int classes();

    ImageShape shape();

    int label(int index);

    /**
     * Copies one image, uint8 values 0 to 255 in (C, H, W) order, to destination[offset .. offset + C·H·W − 1].
     *
     * @throws IndexOutOfBoundsException if there is no such image or no room for it
     */
    void copyImage(int index, byte[] destination, int offset);
}
