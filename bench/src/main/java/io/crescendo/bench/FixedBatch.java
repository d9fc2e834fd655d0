package io.crescendo.bench;

import io.crescendo.backend.Feed;
import io.crescendo.nn.Network;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.SplittableRandom;

/**
 * A batch in memory: what every engine under measurement trains on, the same numbers for all.
 *
 * @param images (N, C, H, W) float32; direct, native byte order
 * @param labels (N) class numbers; direct, native byte order
 * @param samples N
 */
public record FixedBatch(FloatBuffer images, IntBuffer labels, int samples) {
    /** Images uniform in ±1.7, the range of normalised ones, with labels at random; a seed always draws the same. */
    public static FixedBatch noise(Network network, int samples, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        FloatBuffer images = ByteBuffer.allocateDirect(
                        Math.multiplyExact(4 * samples, network.channels() * network.height() * network.width()))
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        for (int i = 0; i < images.capacity(); i++) {
            images.put(i, (float) random.nextDouble(-1.7, 1.7));
        }
        IntBuffer labels = ByteBuffer.allocateDirect(4 * samples)
                .order(ByteOrder.nativeOrder())
                .asIntBuffer();
        for (int i = 0; i < samples; i++) {
            labels.put(i, random.nextInt(network.classes()));
        }
        return new FixedBatch(images, labels, samples);
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
