package io.crescendo.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * Some consecutive samples of the training stream, in direct memory of native byte order.
 *
 * <p>The {@link BatchStream} that returned a batch owns it and fills it again: its contents are valid until the next
 * call of {@code next} on that stream. Both buffers start at position 0 and end at their limit; a reader that moves the
 * position puts it back or reads through {@code duplicate()}.
 */
public final class Batch {
    private final ImageShape shape;
    private FloatBuffer images;
    private IntBuffer labels;
    private int size;
    private long firstSample;

    Batch(ImageShape shape) {
        this.shape = shape;
        this.images = floats(0);
        this.labels = ints(0);
    }

    /** Normalised images (N, C, H, W), float32. */
    public FloatBuffer images() {
        return images;
    }

    /** Labels (N), int32. */
    public IntBuffer labels() {
        return labels;
    }

    /** Count of samples, N. */
    public int size() {
        return size;
    }

    public ImageShape shape() {
        return shape;
    }

    /** Place of the first sample on the training clock: epoch × samplesPerEpoch + position. */
    public long firstSample() {
        return firstSample;
    }

    /** The most samples that a batch of such images holds: one buffer ends below 2 GiB. */
    public static int mostSamples(ImageShape shape) {
        return Integer.MAX_VALUE / Float.BYTES / shape.pixels();
    }

    /** Makes room for a number of samples; memory moves only when the batch outgrows every earlier one. */
    void reserve(int samples) {
        if (labels.capacity() < samples) {
            images = floats(Math.multiplyExact(samples, shape.pixels()));
            labels = ints(samples);
        }
    }

    void reset(int samples, long first) {
        reserve(samples);
        images.limit(samples * shape.pixels()).position(0);
        labels.limit(samples).position(0);
        size = samples;
        firstSample = first;
    }

    private static FloatBuffer floats(int count) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(count, Float.BYTES))
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
    }

    private static IntBuffer ints(int count) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(count, Integer.BYTES))
                .order(ByteOrder.nativeOrder())
                .asIntBuffer();
    }
}
