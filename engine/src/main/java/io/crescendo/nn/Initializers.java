package io.crescendo.nn;

import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Shape;
import java.util.SplittableRandom;

/**
 * First values for weights, with their sources.
 *
 * <p>For a weight (K, C, R, S) or (K, F), fan-in is the number of inputs of one output, C·R·S or F, and fan-out the
 * number of outputs one input reaches, K·R·S or K.
 */
public final class Initializers {
    private Initializers() {}

    /** Normal with variance 2 / fan-in, right for layers followed by a ReLU (He et al. 2015, arXiv 1502.01852). */
    public static Initializer heNormalFanIn() {
        return (shape, key, values) -> normal(key, Math.sqrt(2.0 / fanIn(shape)), values);
    }

    /** Normal with variance 2 / fan-out, as Wide ResNets use it (He et al. 2015; Zagoruyko and Komodakis 2016). */
    public static Initializer heNormalFanOut() {
        return (shape, key, values) -> normal(key, Math.sqrt(2.0 / fanOut(shape)), values);
    }

    /** Uniform in ±1/√fan-in (LeCun et al. 1998, "Efficient BackProp"), for layers not followed by a ReLU. */
    public static Initializer lecunUniform() {
        return (shape, key, values) -> uniform(key, 1 / Math.sqrt(fanIn(shape)), values);
    }

    /**
     * Uniform in ±√(6 / (fan-in + fan-out)), a variance of 2 / (fan-in + fan-out) (Glorot and Bengio 2010,
     * "Understanding the difficulty of training deep feedforward neural networks").
     */
    public static Initializer glorotUniform() {
        return (shape, key, values) -> uniform(key, Math.sqrt(6 / (fanIn(shape) + fanOut(shape))), values);
    }

    private static double fanIn(Shape shape) {
        return (double) shape.elementsPerSample();
    }

    private static double fanOut(Shape shape) {
        return (double) shape.elements() / shape.dim(1);
    }

    private static void uniform(long key, double bound, float[] values) {
        SplittableRandom random = new SplittableRandom(key);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) ((2 * random.nextDouble() - 1) * bound);
        }
    }

    /** Box and Muller's method with StrictMath, so that every machine and JDK draws the same numbers. */
    private static void normal(long key, double deviation, float[] values) {
        SplittableRandom random = new SplittableRandom(key);
        for (int i = 0; i < values.length; i += 2) {
            double radius = deviation * StrictMath.sqrt(-2 * StrictMath.log(1 - random.nextDouble()));
            double angle = 2 * Math.PI * random.nextDouble();
            values[i] = (float) (radius * StrictMath.cos(angle));
            if (i + 1 < values.length) {
                values[i + 1] = (float) (radius * StrictMath.sin(angle));
            }
        }
    }
}
