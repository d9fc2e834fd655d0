package io.crescendo.cli.config;

import io.crescendo.data.Augmentation;

/**
 * Random changes to training images.
 *
 * @param flip flip half of the images
 * @param pad pixels of border before cropping back to size; 0 for no crop
 */
public record AugmentationConfig(boolean flip, int pad) {
    void validate() {
        if (pad < 0) {
            throw new InvalidKeyException("augmentation.pad", "must be at least 0 pixels, but is " + pad);
        }
    }

    /** The engine's form. */
    public Augmentation toAugmentation() {
        return new Augmentation(flip, pad);
    }
}
