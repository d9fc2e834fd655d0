package io.crescendo.data;

import io.crescendo.tensor.Philox;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * Writes samples into a batch: order, augmentation and normalisation in one pass, one table lookup per pixel.
 *
 * <p>Holds scratch memory; used by one thread at a time.
 */
final class BatchFiller {
    private final Dataset dataset;
    private final Augmentation augmentation;
    private final SampleOrder order;
    private final long seed;
    private final float[] table;
    private final byte[] raw;
    private final float[] normalised;
    private final int[] rows;
    private final int[] columns;
    private final int[] draws = new int[4];

    BatchFiller(Dataset dataset, Normalization normalization, Augmentation augmentation, SampleOrder order, long seed) {
        ImageShape shape = dataset.shape();
        this.dataset = dataset;
        this.augmentation = augmentation;
        this.order = order;
        this.seed = seed;
        this.table = normalization.table();
        this.raw = new byte[shape.pixels()];
        this.normalised = new float[shape.pixels()];
        this.rows = new int[shape.height()];
        this.columns = new int[shape.width()];
    }

    void fill(Batch batch, long epoch, int position, int count) {
        batch.reset(count, epoch * dataset.size() + position);
        FloatBuffer images = batch.images();
        IntBuffer labels = batch.labels();
        for (int index = 0; index < count; index++) {
            int sample = order.sample(epoch, position + index);
            dataset.copyImage(sample, raw, 0);
            if (augmentation.isNone()) {
                normalise();
            } else {
                augment(epoch, sample);
            }
            images.put(index * normalised.length, normalised, 0, normalised.length);
            labels.put(index, label(dataset, sample));
        }
    }

    private void normalise() {
        ImageShape shape = dataset.shape();
        int plane = shape.height() * shape.width();
        for (int channel = 0; channel < shape.channels(); channel++) {
            int levels = channel * Normalization.LEVELS;
            int end = (channel + 1) * plane;
            for (int pixel = channel * plane; pixel < end; pixel++) {
                normalised[pixel] = table[levels + (raw[pixel] & 0xFF)];
            }
        }
    }

    private void augment(long epoch, int sample) {
        ImageShape shape = dataset.shape();
        Philox.words(seed, Philox.AUGMENTATION, (int) epoch, sample, draws);
        int places = 2 * augmentation.padding() + 1;
        mirror(rows, below(draws[1], places) - augmentation.padding(), false);
        mirror(columns, below(draws[2], places) - augmentation.padding(), augmentation.flip() && draws[0] < 0);
        int height = shape.height();
        int width = shape.width();
        for (int channel = 0; channel < shape.channels(); channel++) {
            int levels = channel * Normalization.LEVELS;
            for (int row = 0; row < height; row++) {
                int source = (channel * height + rows[row]) * width;
                int target = (channel * height + row) * width;
                for (int column = 0; column < width; column++) {
                    normalised[target + column] = table[levels + (raw[source + columns[column]] & 0xFF)];
                }
            }
        }
    }

    /** An integer in [0, bound) from one word: the upper half of the 64-bit product (on CUDA {@code __umulhi}). */
    private static int below(int word, int bound) {
        return (int) (((word & 0xFFFFFFFFL) * bound) >>> 32);
    }

    /** source[i] = where output line i comes from: i + shift, mirrored back into the image, then flipped. */
    private static void mirror(int[] source, int shift, boolean flip) {
        int last = source.length - 1;
        for (int index = 0; index <= last; index++) {
            int line = (flip ? last - index : index) + shift;
            source[index] = line < 0 ? -line : line > last ? 2 * last - line : line;
        }
    }

    /** A label that is one: what a data set of the user's own says is not taken on trust. */
    static int label(Dataset dataset, int sample) {
        int label = dataset.label(sample);
        if (label < 0 || label >= dataset.classes()) {
            throw new DataException("image " + sample + " of '" + dataset.name() + "' has label " + label
                    + ", but the data set has " + dataset.classes() + " classes; labels must lie in [0, "
                    + dataset.classes() + ")");
        }
        return label;
    }
}
