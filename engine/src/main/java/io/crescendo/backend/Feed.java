package io.crescendo.backend;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.SplittableRandom;

/**
 * What one run of a program reads from outside.
 *
 * @param images (N, C, H, W) float32, direct and in native byte order, read from index 0; must stay unchanged until
 *     {@link Executable#run} returns
 * @param labels (N) class numbers, direct and in native byte order, read from index 0; empty for programs without a
 *     loss
 * @param samples N
 * @param firstSample number of the first sample on the training clock; keys dropout
 * @param seed the run's seed; keys dropout
 */
public record Feed(FloatBuffer images, IntBuffer labels, int samples, long firstSample, long seed) {
    /** Half the range of {@link #noise}. */
    private static final double AMPLITUDE = 1.7;

    /**
     * Something to time a program with: images uniform in ±1.7, the range of normalised ones, with labels at random. A
     * seed always draws the same.
     *
     * @param samples N
     * @param elementsPerImage C · H · W
     * @param classes labels are below it
     * @throws ArithmeticException if the images take 2 GiB or more
     */
    public static Feed noise(int samples, int elementsPerImage, int classes, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        FloatBuffer images =
                direct(Math.multiplyExact(samples, elementsPerImage)).asFloatBuffer();
        for (int i = 0; i < images.capacity(); i++) {
            images.put(i, (float) random.nextDouble(-AMPLITUDE, AMPLITUDE));
        }
        IntBuffer labels = direct(samples).asIntBuffer();
        for (int i = 0; i < samples; i++) {
            labels.put(i, random.nextInt(classes));
        }
        return new Feed(images, labels, samples, 0, 1);
    }

    private static ByteBuffer direct(int numbers) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(numbers, Float.BYTES))
                .order(ByteOrder.nativeOrder());
    }
}
