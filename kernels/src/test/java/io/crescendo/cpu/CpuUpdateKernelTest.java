package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.reference.ReferenceProvider;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/** Packs so large that chunks, shares of threads and runs of decayed parameters meet at every kind of border. */
@NullMarked
class CpuUpdateKernelTest {
    /**
     * Far above the rounding of a gradient and its decay term, which now and then cancel: with a tiny one, Adam would
     * divide noise by noise.
     */
    private static final double EPSILON = 1e-2;

    private static final List<UpdateRule> RULES = List.of(
            new UpdateRule.Sgd(),
            new UpdateRule.Momentum(),
            new UpdateRule.Nesterov(),
            new UpdateRule.Adam(0.99, EPSILON),
            new UpdateRule.AdamW(0.98, EPSILON),
            new UpdateRule.Lars(0.05),
            new UpdateRule.Lamb(0.97, EPSILON));

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    @Test
    void largePacksAreUpdatedLikeTheReference() {
        ParameterPack pack = randomPack();
        for (UpdateRule rule : RULES) {
            long numbers = random.nextLong();
            int threads = 1 + random.nextInt(5);
            try (Backend reference = new ReferenceProvider().open(BackendOptions.DEFAULT);
                    Backend cpu = new CpuBackend(new BackendOptions(threads))) {
                float[] expected = update(reference, rule, pack, numbers);
                float[] actual = update(cpu, rule, pack, numbers);
                for (int i = 0; i < expected.length; i++) {
                    // Two updates of a dozen roundings each, of numbers no larger than ten; the quotient of Adam
                    // doubles it.
                    assertEquals(
                            expected[i],
                            actual[i],
                            1e-5 * Math.max(1, Math.abs(expected[i])),
                            "seed " + seed + ", " + threads + " threads, " + rule + ", element " + i);
                }
            }
        }
    }

    private ParameterPack randomPack() {
        ParameterPack.Builder builder = ParameterPack.builder();
        long elements = 0;
        for (int i = 0; elements < 200_000; i++) {
            int size = 1 + random.nextInt(random.nextBoolean() ? 100 : 60_000);
            builder.add(
                    "p" + i, Shape.of(size), random.nextBoolean() ? Role.WEIGHT : Role.BIAS, Initializer.constant(0));
            elements += size;
        }
        return builder.build();
    }

    /** Weights after two updates. */
    private static float[] update(Backend backend, UpdateRule rule, ParameterPack pack, long numbers) {
        Random drawn = new Random(numbers);
        int elements = Math.toIntExact(pack.elements());
        try (ModelMemory model =
                        new ModelMemory(backend.allocate(elements), backend.allocate(elements), backend.allocate(0));
                UpdateKernel kernel = backend.prepareUpdate(rule, model, pack, p -> p.role() == Role.WEIGHT)) {
            write(model.weights(), pack, drawn);
            for (int i = 1; i <= 2; i++) {
                write(model.gradients(), pack, drawn);
                kernel.apply(new UpdateScalars(0.1, 0.9, 0.5, 0.01, i));
            }
            float[] cleared = new float[elements];
            model.gradients().read(0, cleared);
            for (float gradient : cleared) {
                assertEquals(0, gradient, "gradients are cleared for the next update");
            }
            float[] weights = new float[elements];
            model.weights().read(0, weights);
            return weights;
        }
    }

    /** Numbers for the parameters; the gaps between them stay zero, as everywhere. */
    private static void write(DeviceMemory memory, ParameterPack pack, Random drawn) {
        for (Parameter parameter : pack.parameters()) {
            float[] values = new float[Math.toIntExact(parameter.shape().elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) drawn.nextGaussian();
            }
            memory.write(parameter.offset(), values);
        }
    }
}
