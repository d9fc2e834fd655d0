package io.crescendo.data;

import java.util.Arrays;

/**
 * Per-channel standardisation of pixels: x = (p / 255 − mean[c]) / standardDeviation[c], p in 0 to 255.
 *
 * <p>Compute it once from the training set and use the same values for the test set.
 *
 * @param mean one value per channel, of pixels scaled to [0, 1]
 * @param standardDeviation one positive value per channel, same scale
 */
@SuppressWarnings("ArrayRecordComponent") // copied on the way in and out, compared by content
public record Normalization(float[] mean, float[] standardDeviation) {
    static final int LEVELS = 256;

    private static final int ALL_OF_THEM = 65_536;
    private static final int SOME_OF_THEM = 16_384;

    public Normalization {
        if (mean.length == 0 || mean.length != standardDeviation.length) {
            throw new IllegalArgumentException("normalization has " + mean.length + " means and "
                    + standardDeviation.length + " standard deviations; give one of each per channel");
        }
        for (int channel = 0; channel < mean.length; channel++) {
            if (!Float.isFinite(mean[channel])
                    || !Float.isFinite(standardDeviation[channel])
                    || standardDeviation[channel] <= 0) {
                throw new IllegalArgumentException("normalization of channel " + channel + ": mean " + mean[channel]
                        + " and standard deviation " + standardDeviation[channel]
                        + "; both must be finite and the deviation positive");
            }
        }
        mean = mean.clone();
        standardDeviation = standardDeviation.clone();
    }

    /**
     * The population mean and standard deviation of every channel; a constant channel gets deviation 1.
     *
     * <p>Of more than 65,536 images only 16,384 are looked at, evenly spaced, so that every class has its share: they
     * decide the mean to one per cent of the deviation, and decoding all of ImageNet would take hours.
     *
     * @throws DataException if there are no images
     */
    public static Normalization of(Dataset dataset) {
        if (dataset.size() < 1) {
            throw new DataException("data set '" + dataset.name() + "' has no images, so no mean either");
        }
        int images = dataset.size() > ALL_OF_THEM ? SOME_OF_THEM : dataset.size();
        ImageShape shape = dataset.shape();
        int plane = shape.height() * shape.width();
        byte[] image = new byte[shape.pixels()];
        long[][] histogram = new long[shape.channels()][LEVELS];
        for (int index = 0; index < images; index++) {
            dataset.copyImage((int) ((long) index * dataset.size() / images), image, 0);
            for (int pixel = 0; pixel < image.length; pixel++) {
                histogram[pixel / plane][image[pixel] & 0xFF]++;
            }
        }
        double count = (double) images * plane;
        float[] mean = new float[shape.channels()];
        float[] standardDeviation = new float[shape.channels()];
        for (int channel = 0; channel < mean.length; channel++) {
            double sum = 0;
            for (int level = 0; level < LEVELS; level++) {
                sum += (double) histogram[channel][level] * level;
            }
            double average = sum / count;
            double squares = 0;
            for (int level = 0; level < LEVELS; level++) {
                squares += histogram[channel][level] * (level - average) * (level - average);
            }
            mean[channel] = (float) (average / 255);
            standardDeviation[channel] = squares == 0 ? 1 : (float) (Math.sqrt(squares / count) / 255);
        }
        return new Normalization(mean, standardDeviation);
    }

    @Override
    public float[] mean() {
        return mean.clone();
    }

    @Override
    public float[] standardDeviation() {
        return standardDeviation.clone();
    }

    /** The normalised value of every (channel, level), 256 entries per channel. */
    float[] table() {
        float[] table = new float[mean.length * LEVELS];
        for (int entry = 0; entry < table.length; entry++) {
            int channel = entry / LEVELS;
            table[entry] = (float) (((entry % LEVELS) / 255.0 - mean[channel]) / standardDeviation[channel]);
        }
        return table;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Normalization that
                && Arrays.equals(mean, that.mean)
                && Arrays.equals(standardDeviation, that.standardDeviation);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(mean) + Arrays.hashCode(standardDeviation);
    }

    @Override
    public String toString() {
        return "Normalization[mean=" + Arrays.toString(mean) + ", standardDeviation="
                + Arrays.toString(standardDeviation) + "]";
    }
}
