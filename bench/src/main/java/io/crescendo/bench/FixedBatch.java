package io.crescendo.bench;

import io.crescendo.backend.Feed;
import io.crescendo.nn.Network;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * A batch in memory: what every engine under measurement trains on, the same numbers for all.
 *
 * @param images (N, C, H, W) float32; direct, native byte order
 * @param labels (N) class numbers; direct, native byte order
 * @param samples N
 */
public record FixedBatch(FloatBuffer images, IntBuffer labels, int samples) {
    /** {@link Feed#noise} for a network. */
    public static FixedBatch noise(Network network, int samples, long seed) {
        Feed noise =
                Feed.noise(samples, network.channels() * network.height() * network.width(), network.classes(), seed);
        return new FixedBatch(noise.images(), noise.labels(), samples);
    }

    /** The batch as a program reads it. */
    public Feed feed() {
        return new Feed(images, labels, samples, 0, 1);
    }

    /** Samples {@code first} to {@code first + count − 1} as a program reads them; shares the memory. */
    public Feed part(int first, int count) {
        int elements = images.capacity() / samples;
        return new Feed(images.slice(first * elements, count * elements), labels.slice(first, count), count, first, 1);
    }
}
