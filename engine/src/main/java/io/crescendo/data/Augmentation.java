package io.crescendo.data;

/**
 * Random changes to a training image: a horizontal flip with probability 1/2, and a crop of the original size at a
 * uniform place in the image padded on every side.
 *
 * <p>The draws are the words of {@code Philox.words(seed, AUGMENTATION, epoch, sample)}: the top bit of word 0 flips,
 * words 1 and 2 give the vertical and horizontal place of the crop in [0, 2·padding]. They depend on nothing else, so
 * neither the batch nor the device changes an image. The border repeats the image as a mirror would, without its edge
 * pixel (row −1 is row 1), as is told of the Wide ResNet training that the CIFAR-10 experiments follow (Zagoruyko and
 * Komodakis 2016, arXiv 1605.07146; from memory).
 *
 * @param flip whether to flip half of the images
 * @param padding pixels on each side, 0 for no crop; must be below the height and the width of the images
 */
public record Augmentation(boolean flip, int padding) {
    /** Leaves every image as it is. */
    public static final Augmentation NONE = new Augmentation(false, 0);

    public Augmentation {
        if (padding < 0) {
            throw new IllegalArgumentException("augmentation padding " + padding + "; give 0 or more pixels");
        }
    }

    boolean isNone() {
        return equals(NONE);
    }

    void requireFits(Dataset dataset) {
        ImageShape shape = dataset.shape();
        if (padding >= Math.min(shape.height(), shape.width())) {
            throw new IllegalArgumentException("augmentation padding " + padding + " does not fit the " + shape.height()
                    + "x" + shape.width() + " images of '" + dataset.name()
                    + "'; a mirrored border must be smaller than the image");
        }
    }
}
