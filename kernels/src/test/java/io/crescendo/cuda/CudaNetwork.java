package io.crescendo.cuda;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Feed;
import io.crescendo.backend.Rig;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.NullMarked;

/** A small network with most kinds of operations, and images for it. */
@NullMarked
final class CudaNetwork {
    static final int GHOST_BATCH = 4;
    static final int CHANNELS = 3;
    static final int SIZE = 9;
    static final int CLASSES = 5;
    private static final int FILTERS = 8;

    private CudaNetwork() {}

    /** The training program; its logits are kept. */
    static Program training(int batch, Set<Fusion> fusions) {
        Tape tape = Tape.training(batch, GHOST_BATCH);
        Value x = tape.images(CHANNELS, SIZE, SIZE);
        Value bias = tape.name("first").parameter("bias", Shape.of(FILTERS), Role.BIAS, Initializer.constant(0.1f));
        x = tape.conv2d(x, weight(tape, FILTERS, CHANNELS, 3, 3), bias, Window.square(3, 1, 1), 1);
        x = tape.relu(norm(tape.name("norm1"), x));
        Value shortcut = x;
        x = tape.name("second").conv2d(x, weight(tape, FILTERS, FILTERS, 3, 3), null, Window.square(3, 1, 1), 1);
        x = tape.relu(norm(tape.name("norm2"), tape.add(x, shortcut)));
        x = tape.name("pool").maxPool(x, Window.square(2, 2, 0));
        x = tape.name("average").globalAveragePool(x);
        x = tape.name("dropout").dropout(tape.flatten(x), 0.25);
        tape.name("logits");
        Value shift = tape.parameter("bias", Shape.of(CLASSES), Role.BIAS, Initializer.constant(0));
        x = tape.keep(tape.dense(x, weight(tape, CLASSES, FILTERS), shift));
        tape.softmaxCrossEntropy(x, tape.labels(), 0.1);
        return tape.program(fusions);
    }

    private static Value weight(Tape tape, long... extents) {
        return tape.parameter("weight", Shape.of(extents), Role.WEIGHT, (shape, key, values) -> {
            Random random = new Random(key);
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (0.2 * random.nextGaussian());
            }
        });
    }

    private static Value norm(Tape tape, Value x) {
        Shape vector = Shape.of(FILTERS);
        return tape.batchNorm(
                x,
                tape.parameter("scale", vector, Role.NORM_SCALE, Initializer.constant(1)),
                tape.parameter("shift", vector, Role.NORM_SHIFT, Initializer.constant(0)),
                tape.statistic("mean", vector, Role.RUNNING_MEAN, Initializer.constant(0)),
                tape.statistic("variance", vector, Role.RUNNING_VARIANCE, Initializer.constant(1)),
                1e-5,
                0.1);
    }

    static Feed feed(int batch, long seed) {
        return Rig.feed(new Random(seed), CHANNELS * SIZE * SIZE, CLASSES, batch);
    }
}
