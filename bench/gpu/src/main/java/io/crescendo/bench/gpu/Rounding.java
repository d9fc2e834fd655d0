package io.crescendo.bench.gpu;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.Precision;
import java.nio.FloatBuffer;
import java.util.SplittableRandom;

/**
 * How coarse a precision is, and numbers moved by that much.
 *
 * <p>A device that rounds cannot agree to better than what its rounding does to the result. How much that is depends on
 * the network, so it is measured: the CPU computes once more from weights and pixels that are each moved up or down by
 * one unit in the last place.
 */
final class Rounding {
    private Rounding() {}

    /** The unit in the last place of 1: the distance to the next number, 2⁻²³ for float32. */
    static double unitInTheLastPlace(Precision precision) {
        return switch (precision) {
            case FP32 -> 0x1p-23;
            case TF32 -> 0x1p-10;
            case BF16 -> 0x1p-7;
        };
    }

    /** Moves every number of a memory by a relative {@code step}, up or down at random. */
    static void move(DeviceMemory memory, double step, SplittableRandom random) {
        float[] values = new float[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        for (int i = 0; i < values.length; i++) {
            values[i] = moved(values[i], step, random);
        }
        memory.write(0, values);
    }

    /** Moves every number of a buffer by a relative {@code step}, up or down at random. */
    static void move(FloatBuffer values, double step, SplittableRandom random) {
        for (int i = 0; i < values.capacity(); i++) {
            values.put(i, moved(values.get(i), step, random));
        }
    }

    private static float moved(float value, double step, SplittableRandom random) {
        return (float) (value * (1 + (random.nextBoolean() ? step : -step)));
    }
}
