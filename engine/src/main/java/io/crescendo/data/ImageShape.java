package io.crescendo.data;

/** The shape (C, H, W) of every image of a data set. */
public record ImageShape(int channels, int height, int width) {
    public ImageShape {
        boolean positive = channels > 0 && height > 0 && width > 0;
        // Divided instead of multiplied: the product of three ints can pass 2^63.
        if (!positive || (long) height * width > Integer.MAX_VALUE / channels) {
            throw new IllegalArgumentException("image shape (C, H, W) = (" + channels + ", " + height + ", " + width
                    + "): every size must be at least 1 and their product below 2^31");
        }
    }

    /** Values of one image, C·H·W. */
    public int pixels() {
        return channels * height * width;
    }
}
