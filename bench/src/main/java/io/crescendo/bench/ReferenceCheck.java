package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.SplittableRandom;
import java.util.function.LongFunction;

/**
 * Compares a device with the reference backend before anything is timed: what computes something else is not worth
 * timing.
 *
 * <p>Errors are {@link IllegalStateException}s that name the parameter and both norms.
 */
public final class ReferenceCheck {
    /**
     * Of a gradient, relative to its norm. Rounding to float32 leaves about 1e-6; a ReLU whose input is so close to
     * zero that rounding decides its sign adds single elements. A forgotten or doubled term shows at 1e-1.
     */
    private static final double GRADIENT_TOLERANCE = 1e-2;

    /** Of the loss, which no single rounding decides. */
    private static final double LOSS_TOLERANCE = 1e-4;

    /** Of updated weights, relative to the largest: some ten roundings of 6e-8 each, and Adam's division. */
    private static final double UPDATE_TOLERANCE = 1e-5;

    private static final int UPDATES = 3;

    private ReferenceCheck() {}

    /** Loss and gradients of one batch of noise, here and on the reference backend. */
    public static void step(Backend device, String precision, Network network, int batch, int ghostBatch) {
        requireClose(
                device.name() + ", " + network.name() + ", batch " + batch + ", ghost batch " + ghostBatch,
                precision,
                onReference(reference -> gradients(reference, network, batch, ghostBatch)),
                gradients(device, network, batch, ghostBatch));
    }

    /** Fails unless the loss and every parameter's gradient are near what they should be. */
    static void requireClose(String what, String precision, Result expected, Result actual) {
        // What is left of a coarse format: a step of bf16 keeps two to three digits of a gradient's direction.
        double lossTolerance = Math.max(LOSS_TOLERANCE, 1e-6 * Device.coarseness(precision));
        double tolerance = Math.max(GRADIENT_TOLERANCE, 5e-6 * Device.coarseness(precision));
        if (!(Math.abs(actual.loss - expected.loss) <= lossTolerance * Math.abs(expected.loss))) {
            throw new IllegalStateException(what + ": the loss is " + actual.loss + ", but should be " + expected.loss);
        }
        double packNorm = norm(expected.values, 0, expected.values.length);
        for (Parameter parameter : expected.pack.parameters()) {
            int from = Math.toIntExact(parameter.offset());
            int to = Math.toIntExact(parameter.end());
            float[] difference = new float[to - from];
            for (int i = from; i < to; i++) {
                difference[i - from] = actual.values[i] - expected.values[i];
            }
            double norm = norm(expected.values, from, to);
            double error = norm(difference, 0, difference.length);
            // A gradient that is nothing beside the others (a scale in front of a norm, say) is all rounding.
            if (!(error <= tolerance * Math.max(norm, 1e-4 * packNorm))) {
                throw new IllegalStateException(what + ": the gradient of " + parameter.name() + " has norm " + norm
                        + ", but differs from what it should be by " + error);
            }
        }
    }

    /** What one run of a training program leaves. */
    @SuppressWarnings("ArrayRecordComponent") // handed on, never compared
    record Result(ParameterPack pack, float[] values, double loss) {}

    /** Of one batch of noise, from the first weights. */
    static Result gradients(Backend backend, Network network, int batch, int ghostBatch) {
        return gradients(
                backend,
                network,
                ghostBatch,
                FixedBatch.noise(network, batch, 11).feed(),
                new float[0]);
    }

    /** Of this batch by a program and memory of its own, from these weights; from the first ones if there are none. */
    static Result gradients(Backend backend, Network network, int ghostBatch, Feed batch, float[] weights) {
        Program program = network.trainingProgram(batch.samples(), ghostBatch, 0, backend.fusions());
        try (ModelMemory model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED);
                LoweredProgram lowered = backend.lower(program);
                Executable executable = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model)) {
            if (weights.length > 0) {
                model.weights().write(0, weights);
            }
            executable.run(batch);
            double loss = backend.metrics().read().loss();
            backend.metrics().clear();
            return new Result(program.parameters(), read(model.gradients()), loss);
        }
    }

    /** Weights and state after a few updates with gradients that change, here and on the reference backend. */
    public static void update(Backend device, Network network, Optimizer optimizer) {
        float[] expected = onReference(reference -> updated(reference, network, optimizer));
        float[] actual = updated(device, network, optimizer);
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(actual[i] - expected[i]) <= UPDATE_TOLERANCE * largest)) {
                throw new IllegalStateException(device.name() + ": after " + UPDATES + " updates by "
                        + optimizer.rule() + " of " + network.name() + ", weight " + i + " is " + actual[i]
                        + ", but the reference has " + expected[i]);
            }
        }
    }

    private static float[] updated(Backend backend, Network network, Optimizer optimizer) {
        Program program = network.trainingProgram(1, 1, 0, backend.fusions());
        try (ModelMemory model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED);
                UpdateKernel update =
                        backend.prepareUpdate(optimizer.rule(), model, program.parameters(), optimizer.decay())) {
            for (int i = 1; i <= UPDATES; i++) {
                int number = i;
                fill(model.gradients(), program.parameters(), seed -> new SplittableRandom(31L * number + seed));
                update.apply(new UpdateScalars(0.1, TrainingStep.MOMENTUM, 1.0 / 8, TrainingStep.WEIGHT_DECAY, i));
            }
            return read(model.weights());
        }
    }

    /** Uniform numbers in ±1 in every parameter; the gaps between them stay zero, as they must. */
    static void fill(DeviceMemory memory, ParameterPack pack, LongFunction<SplittableRandom> randoms) {
        for (Parameter parameter : pack.parameters()) {
            SplittableRandom random = randoms.apply(parameter.offset());
            float[] values = new float[Math.toIntExact(parameter.shape().elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextDouble(-1, 1);
            }
            memory.write(parameter.offset(), values);
        }
    }

    private static <T> T onReference(java.util.function.Function<Backend, T> work) {
        try (Backend reference = Backends.open("reference", BackendOptions.DEFAULT)) {
            return work.apply(reference);
        }
    }

    static float[] read(DeviceMemory memory) {
        float[] values = new float[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        return values;
    }

    private static double norm(float[] values, int from, int to) {
        double sum = 0;
        for (int i = from; i < to; i++) {
            sum += (double) values[i] * values[i];
        }
        return Math.sqrt(sum);
    }
}
