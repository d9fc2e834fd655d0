package io.crescendo.backend;

/**
 * A set of images as a device can hold it, and everything that turns it into batches.
 *
 * <p>Sample {@code order(epoch)[position]} stands at a position of an epoch. Its pixels are shifted and flipped by the
 * words u of {@code Philox.words(seed, AUGMENTATION, epoch, sample)}: rows by ⌊u₁·(2·padding+1)/2³²⌋ − padding, columns
 * by the same of u₂, borders mirrored without the edge; then flipped left to right if {@link #flip} and the top bit of
 * u₀ is set. A pixel p of channel c becomes {@code table[256·c + p]}.
 */
public interface ImageSource {
    /** For messages. */
    String name();

    /** N. */
    int samples();

    /** C. */
    int channels();

    /** H. */
    int height();

    /** W. */
    int width();

    /** Labels lie below it. */
    int classes();

    /** Copies an image, uint8 in (C, H, W) order, to the destination from the offset on. */
    void copyImage(int sample, byte[] destination, int offset);

    int label(int sample);

    /** The number that the network reads for each of the 256 levels of each channel, (C, 256). */
    float[] table();

    /** Which sample stands at which position of an epoch. */
    int[] order(long epoch);

    /** The run's seed; keys augmentation and dropout. */
    long seed();

    /** Pixels that an image may shift by in each direction; below H and W. */
    int padding();

    /** Whether half of the images are flipped. */
    boolean flip();
}
