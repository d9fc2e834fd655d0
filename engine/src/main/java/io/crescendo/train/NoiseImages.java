package io.crescendo.train;

import io.crescendo.backend.ImageSource;
import io.crescendo.nn.Network;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * A batch of noise as a device holds it, to time steps with: uint8 pixels that stand for ±1.7, the range of normalised
 * images, with labels at random. A seed always draws the same.
 *
 * @param network says what an image is
 * @param samples N
 * @param seed of pixels and labels
 */
public record NoiseImages(Network network, int samples, long seed) implements ImageSource {
    private static final int LEVELS = 256;
    private static final double RANGE = 1.7;

    @Override
    public String name() {
        return "noise";
    }

    @Override
    public int channels() {
        return network.channels();
    }

    @Override
    public int height() {
        return network.height();
    }

    @Override
    public int width() {
        return network.width();
    }

    @Override
    public int classes() {
        return network.classes();
    }

    private SplittableRandom random(int sample) {
        return new SplittableRandom(seed * samples + sample);
    }

    @Override
    public void copyImage(int sample, byte[] destination, int offset) {
        SplittableRandom random = random(sample);
        for (int i = 0; i < channels() * height() * width(); i++) {
            destination[offset + i] = (byte) random.nextInt(LEVELS);
        }
    }

    @Override
    public int label(int sample) {
        return random(sample).nextInt(classes());
    }

    @Override
    public float[] table() {
        float[] table = new float[LEVELS * channels()];
        for (int i = 0; i < table.length; i++) {
            table[i] = (float) (RANGE * (2.0 * (i % LEVELS) / (LEVELS - 1) - 1));
        }
        return table;
    }

    @Override
    public int[] order(long epoch) {
        return IntStream.range(0, samples).toArray();
    }

    @Override
    public int padding() {
        return 0;
    }

    @Override
    public boolean flip() {
        return false;
    }
}
