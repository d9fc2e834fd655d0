package io.crescendo.data;

import io.crescendo.tensor.Philox;
import java.util.Objects;

/**
 * A synthetic data set of any shape, for benchmarks and tests; the same seed gives the same images everywhere.
 *
 * <p>Image i has the label i mod classes and the pixels (template[label] + noise[i]) / 2, where template and noise are
 * uniform in 0 to 255. The class means differ, so a network learns it and a test sees the loss fall.
 *
 * <p>Memory does not depend on the size: noise[i] is a window of one shared strip, at a place drawn for i.
 */
public final class RandomDataset implements Dataset {
    private static final int TEMPLATES = 0;
    private static final int STRIP = 1;
    private static final int WINDOWS = 2;
    private static final int PLACES = 1 << 18; // enough windows that few images share one

    private final int size;
    private final int classes;
    private final ImageShape shape;
    private final long seed;
    private final byte[] templates;
    private final byte[] strip;

    /** @throws IllegalArgumentException if size or classes is not positive, or the templates pass 2^31 bytes */
    public RandomDataset(int size, int classes, ImageShape shape, long seed) {
        if (size < 1 || classes < 1) {
            throw new IllegalArgumentException(
                    "a random data set of " + size + " images in " + classes + " classes; give at least 1 of each");
        }
        if ((long) classes * shape.pixels() > Integer.MAX_VALUE - PLACES) {
            throw new IllegalArgumentException(
                    "a random data set of " + classes + " classes of " + shape + " passes 2^31 bytes; use fewer");
        }
        this.size = size;
        this.classes = classes;
        this.shape = shape;
        this.seed = seed;
        this.templates = noise(classes * shape.pixels(), TEMPLATES);
        this.strip = noise(PLACES + shape.pixels(), STRIP);
    }

    private byte[] noise(int length, int step) {
        byte[] noise = new byte[length];
        for (int start = 0; start < length; start += Long.BYTES) {
            long bits = Philox.bits(seed, Philox.DATA, step, start);
            for (int index = start; index < Math.min(length, start + Long.BYTES); index++, bits >>>= Byte.SIZE) {
                noise[index] = (byte) bits;
            }
        }
        return noise;
    }

    @Override
    public String name() {
        return "random";
    }

    @Override
    public int size() {
        return size;
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
        return Objects.checkIndex(index, size) % classes;
    }

    @Override
    public void copyImage(int index, byte[] destination, int offset) {
        int length = shape.pixels();
        int template = label(index) * length;
        int window = Philox.below(Philox.bits(seed, Philox.DATA, WINDOWS, index), PLACES);
        Objects.checkFromIndexSize(offset, length, destination.length);
        for (int pixel = 0; pixel < length; pixel++) {
            destination[offset + pixel] =
                    (byte) (((templates[template + pixel] & 0xFF) + (strip[window + pixel] & 0xFF)) >>> 1);
        }
    }
}
