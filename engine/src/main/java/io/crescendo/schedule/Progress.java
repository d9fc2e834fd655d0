package io.crescendo.schedule;

/**
 * How far training has come. Samples are the only clock: epochs are derived from them, and the count of updates is
 * carried along for reports but decides nothing.
 *
 * @param samples samples of the training set that the clock has passed, those skipped at ragged ends included
 * @param updates parameter updates performed
 * @param samplesPerEpoch N, the size of the training set
 */
public record Progress(long samples, long updates, long samplesPerEpoch) {
    public Progress {
        if (samplesPerEpoch < 1) {
            throw new IllegalArgumentException(
                    "samplesPerEpoch " + samplesPerEpoch + " must be at least 1: an epoch needs samples");
        }
        if (samples < 0 || updates < 0) {
            throw new IllegalArgumentException(
                    "progress cannot be negative: " + samples + " samples, " + updates + " updates");
        }
    }

    /** The beginning of training. */
    public static Progress start(long samplesPerEpoch) {
        return new Progress(0, 0, samplesPerEpoch);
    }

    /**
     * The first moment at or after an epoch, which may be fractional: 4.5 of 50,000 is sample 225,000. The count of
     * updates is zero, since it cannot be known from the epoch.
     */
    public static Progress atEpoch(double epoch, long samplesPerEpoch) {
        if (!(epoch >= 0) || epoch * samplesPerEpoch > 0x1p62) {
            throw new IllegalArgumentException("epoch " + epoch + " must be between 0 and the clock's range");
        }
        // The product may round to either side, so settle on the definition: samples / N >= epoch, and no earlier.
        long samples = (long) Math.ceil(epoch * samplesPerEpoch);
        while (samples > 0 && (double) (samples - 1) / samplesPerEpoch >= epoch) {
            samples--;
        }
        while ((double) samples / samplesPerEpoch < epoch) {
            samples++;
        }
        return new Progress(samples, 0, samplesPerEpoch);
    }

    /** Epochs passed, with fraction. The quotient is correctly rounded, so sample 5,000 of 50,000 is exactly 0.1. */
    public double epochs() {
        return (double) samples / samplesPerEpoch;
    }

    /** The current epoch, counted from zero. */
    public long epoch() {
        return samples / samplesPerEpoch;
    }

    public long samplesIntoEpoch() {
        return samples % samplesPerEpoch;
    }

    /** Samples until the current epoch's end, at least 1. */
    public long samplesLeftInEpoch() {
        return samplesPerEpoch - samplesIntoEpoch();
    }

    /** The moment after one parameter update over {@code batch} samples. */
    public Progress afterUpdate(long batch) {
        if (batch < 1) {
            throw new IllegalArgumentException("an update needs at least 1 sample, not " + batch);
        }
        return new Progress(samples + batch, updates + 1, samplesPerEpoch);
    }

    /** The beginning of the next epoch, without any update in between. */
    public Progress atNextEpoch() {
        return new Progress(samples + samplesLeftInEpoch(), updates, samplesPerEpoch);
    }
}
