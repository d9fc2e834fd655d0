package io.crescendo.cuda;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.reference.ReferenceMemory;
import io.crescendo.reference.ReferenceProvider;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** update.cu and gradient_sum.cu. */
@NullMarked
final class UpdateCheck {
    // Two updates of a dozen float32 roundings each, of numbers no larger than ten; Adam's quotient doubles it.
    private static final double TOLERANCE = 2e-5;

    private UpdateCheck() {}

    static void rules(Trial trial) {
        Random random = trial.random();
        double beta2 = 0.9 + 0.0999 * random.nextDouble();
        UpdateRule rule = List.of(
                        new UpdateRule.Sgd(),
                        new UpdateRule.Momentum(),
                        new UpdateRule.Nesterov(),
                        new UpdateRule.Adam(beta2, 1e-4),
                        new UpdateRule.AdamW(beta2, 1e-4))
                .get(random.nextInt(5));
        ParameterPack pack = randomPack(trial);
        // Without the gap behind the last parameter, so that the end is ragged.
        int count = Math.toIntExact(
                pack.parameters().get(pack.parameters().size() - 1).end());
        double[] weights = new double[Math.toIntExact(pack.elements())];
        double[] gradients = new double[weights.length];
        DeviceBuffer w = trial.buffer(ElementType.F32, count);
        DeviceBuffer dw = trial.buffer(ElementType.F32, count);
        boolean shadowed = trial.type() == ElementType.BF16;
        DeviceBuffer shadow = shadowed ? trial.buffer(ElementType.BF16, count) : null;
        DeviceBuffer decayed = decayMask(pack);
        List<DeviceBuffer> states = new ArrayList<>();
        for (int i = 0; i < rule.stateSlots(); i++) {
            states.add(trial.buffer(ElementType.F32, count).zero());
        }
        try (Backend backend = new ReferenceProvider().open(BackendOptions.DEFAULT);
                ModelMemory model = new ModelMemory(
                        backend.allocate(weights.length), backend.allocate(weights.length), backend.allocate(0));
                UpdateKernel twin = backend.prepareUpdate(rule, model, pack, UpdateCheck::decays)) {
            fill(trial, pack, weights);
            w.write(Arrays.copyOf(weights, count));
            set(model.weights(), weights);
            for (int t = 1; t <= 2; t++) {
                fill(trial, pack, gradients);
                dw.write(Arrays.copyOf(gradients, count));
                set(model.gradients(), gradients);
                UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 0.5, 0.01, t);
                twin.apply(scalars);
                DeviceBuffer lowered = random.nextBoolean() ? new DeviceBuffer(ElementType.I32, 1, 0).zero() : null;
                launch(trial, rule, w, states, dw, shadow, decayed, scalars, lowered, true);
            }
            String what = rule + " over " + count;
            Trial.closeFloats(what, Arrays.copyOf(values(model.weights()), count), w, TOLERANCE);
            for (int i = 0; i < states.size(); i++) {
                double[] state = Arrays.copyOf(values(twin.state().get(i)), count);
                Trial.closeFloats(what + ", state " + i, state, states.get(i), TOLERANCE);
            }
            Trial.closeFloats(what + ", cleared gradient", new double[count], dw, 0);
            if (shadow != null) {
                double[] rounded = Arrays.stream(w.read()).map(trial::rounded).toArray();
                Trial.closeFloats(what + ", shadow", rounded, shadow, 0);
            }
            skips(trial, rule, w, states, decayed, gradients);
        }
    }

    /** A raised flag leaves everything but the gradient; without `clear` the gradient stays, too. */
    private static void skips(
            Trial trial,
            UpdateRule rule,
            DeviceBuffer w,
            List<DeviceBuffer> states,
            DeviceBuffer decayed,
            double[] gradients) {
        double[] before = w.read();
        DeviceBuffer dw = trial.written(ElementType.F32, Arrays.copyOf(gradients, w.count()));
        UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 0.5, 0.01, 3);
        DeviceBuffer raised = new DeviceBuffer(ElementType.I32, 1, 0).write(1);
        launch(trial, rule, w, states, dw, null, decayed, scalars, raised, false);
        Trial.closeFloats("weights of a skipped update", before, w, 0);
        Trial.closeFloats("gradient kept", Arrays.copyOf(gradients, w.count()), dw, 0);
        launch(trial, rule, w, states, dw, null, decayed, scalars, raised, true);
        Trial.closeFloats("weights of a skipped update", before, w, 0);
        Trial.closeFloats("gradient of a skipped update", new double[w.count()], dw, 0);
    }

    private static void launch(
            Trial trial,
            UpdateRule rule,
            DeviceBuffer w,
            List<DeviceBuffer> states,
            DeviceBuffer dw,
            @Nullable DeviceBuffer shadow,
            DeviceBuffer decayed,
            UpdateScalars scalars,
            @Nullable DeviceBuffer skip,
            boolean clear) {
        double beta2 = 0;
        double epsilon = 0;
        if (rule instanceof UpdateRule.Adam adam) {
            beta2 = adam.beta2();
            epsilon = adam.epsilon();
        } else if (rule instanceof UpdateRule.AdamW adam) {
            beta2 = adam.beta2();
            epsilon = adam.epsilon();
        }
        DeviceBuffer numbers = numbers(scalars, beta2, Double.NaN);
        List<@Nullable Object> arguments = new ArrayList<>();
        arguments.add(w);
        arguments.addAll(states);
        arguments.add(dw);
        arguments.add(shadow);
        arguments.add((long) w.count());
        arguments.add(numbers);
        arguments.add(decayed);
        arguments.add(skip);
        arguments.add(clear ? 1 : 0);
        if (rule.stateSlots() == 2) {
            arguments.add((float) beta2);
            arguments.add((float) (1 - beta2));
            arguments.add((float) epsilon);
        }
        String kernel = "update_" + rule.getClass().getSimpleName().toLowerCase(java.util.Locale.ROOT);
        trial.launch(kernel, arguments.toArray());
    }

    /** UpdateScalars of update.cuh. */
    static DeviceBuffer numbers(UpdateScalars scalars, double beta2, double clipNorm) {
        return new DeviceBuffer(ElementType.F32, 8, 0)
                .write(
                        scalars.learningRate(),
                        scalars.momentum(),
                        scalars.gradientScale(),
                        scalars.weightDecay(),
                        1 - scalars.momentum(),
                        1 / (1 - Math.pow(scalars.momentum(), (double) scalars.update())),
                        1 / (1 - Math.pow(beta2, (double) scalars.update())),
                        clipNorm);
    }

    static ParameterPack randomPack(Trial trial) {
        ParameterPack.Builder builder = ParameterPack.builder();
        int parameters = trial.between(1, 12);
        for (int i = 0; i < parameters; i++) {
            int size = trial.between(1, trial.random().nextBoolean() ? 50 : 1500);
            Role role = trial.random().nextBoolean() ? Role.WEIGHT : Role.BIAS;
            builder.add("p" + i, Shape.of(size), role, Initializer.constant(0));
        }
        return builder.build();
    }

    static boolean decays(Parameter parameter) {
        return parameter.role() == Role.WEIGHT;
    }

    static DeviceBuffer decayMask(ParameterPack pack) {
        int[] words = new int[Math.toIntExact(pack.elements() / 512 + 1)];
        for (Parameter parameter : pack.parameters()) {
            for (long i = parameter.offset(); i < parameter.end() && decays(parameter); i += 16) {
                words[(int) (i / 512)] |= 1 << (i / 16 % 32);
            }
        }
        return new DeviceBuffer(ElementType.I32, words.length, 0)
                .write(Arrays.stream(words).asDoubleStream().toArray());
    }

    /** Numbers for the parameters; the gaps between them stay zero, as everywhere. */
    static void fill(Trial trial, ParameterPack pack, double[] values) {
        for (Parameter parameter : pack.parameters()) {
            for (int i = (int) parameter.offset(); i < parameter.end(); i++) {
                values[i] = (float) trial.random().nextGaussian();
            }
        }
    }

    static void set(DeviceMemory memory, double[] values) {
        System.arraycopy(values, 0, values(memory), 0, values.length);
    }

    static double[] values(DeviceMemory memory) {
        return ReferenceMemory.of(memory).values();
    }

    /** The sum and the norms in double; and that one launch gives the bits of one launch per part. */
    static void gradientSum(Trial trial) {
        // Aligned and several tiles long in a quarter of the trials, as in training.
        boolean whole = trial.random().nextInt(4) == 0;
        int tile = Trial.THREADS * 4 * trial.packed();
        int count = whole
                ? trial.between(tile, 3 * tile)
                : trial.between(1, trial.random().nextBoolean() ? 6000 : 20_000);
        int parts = trial.between(1, trial.random().nextInt(8) == 0 ? 64 : 9);
        boolean accumulate = trial.random().nextBoolean();
        double[] start = trial.floats(count);
        double[] expected = accumulate ? start.clone() : new double[count];
        double[] norms = new double[parts + 1];
        double[] weights = trial.floats(parts);
        DeviceBuffer[] buffers = new DeviceBuffer[parts];
        for (int k = 0; k < parts; k++) {
            double[] part = trial.activations(count);
            for (int i = 0; i < count; i++) {
                expected[i] += weights[k] * part[i];
                norms[k] += part[i] * part[i];
            }
            buffers[k] = whole ? new DeviceBuffer(trial.type(), count, 0).write(part) : trial.written(part);
        }
        norms[parts] = Arrays.stream(expected).map(x -> x * x).sum();

        DeviceBuffer sum = whole ? new DeviceBuffer(ElementType.F32, count, 0) : trial.buffer(ElementType.F32, count);
        DeviceBuffer again = trial.buffer(ElementType.F32, count);
        if (accumulate) {
            sum.write(start);
            again.write(start);
        }
        DeviceBuffer flag = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        int blocks = trial.between(1, 5);
        double[] measured = sum(trial, blocks, sum, DeviceBuffer.pointersTo(buffers), weights, accumulate, flag);
        // One rounding per part of a sum that is no larger than some tens.
        Trial.closeFloats("sum of " + parts + " parts of " + count, expected, sum, 1e-6 * (parts + 1) * 4);
        for (int k = 0; k <= parts; k++) {
            // Thousands of squares, added in float32 within a warp only: some tens of roundings.
            if (!(Math.abs(measured[k] - norms[k]) <= 1e-5 * norms[k] + 1e-9)) {
                throw new AssertionError("norm " + k + " of " + parts + " is " + measured[k] + ", not " + norms[k]);
            }
        }
        if (flag.read()[0] != 0) {
            throw new AssertionError("finite gradients were called not finite");
        }
        for (int k = 0; k < parts; k++) {
            DeviceBuffer one = DeviceBuffer.pointersTo(buffers[k]);
            double[] alone = sum(trial, blocks, again, one, new double[] {weights[k]}, accumulate || k > 0, flag);
            // More parts than the compiler knows are added in another order.
            boolean last = k == parts - 1;
            if (parts <= 8 && (alone[0] != measured[k] || (last && alone[1] != measured[parts]))) {
                throw new AssertionError("norms " + alone[0] + " and " + alone[1] + " of part " + k + " alone are "
                        + measured[k] + " and " + measured[parts] + " with " + parts);
            }
        }
        Trial.closeFloats("the same sum, part by part", sum.read(), again, 0);

        int bad = trial.random().nextInt(count);
        double[] broken = buffers[0].read();
        broken[bad] = trial.random().nextBoolean() ? Double.NaN : Double.POSITIVE_INFINITY;
        buffers[0].write(broken);
        sum(trial, blocks, again, DeviceBuffer.pointersTo(buffers[0]), new double[] {1}, false, flag);
        if (flag.read()[0] != 1) {
            throw new AssertionError("element " + bad + " is " + broken[bad] + ", but no flag was raised");
        }
    }

    private static double[] sum(
            Trial trial,
            int blocks,
            DeviceBuffer sum,
            DeviceBuffer parts,
            double[] weights,
            boolean accumulate,
            DeviceBuffer flag) {
        int count = parts.count();
        DeviceBuffer norms = new DeviceBuffer(ElementType.F64, count + 1, 0);
        DeviceBuffer partials = new DeviceBuffer(ElementType.F32, blocks * (count + 1), 0);
        DeviceBuffer ticket = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        trial.launchGrid(
                trial.named("gradient_sum"),
                blocks,
                1,
                sum,
                parts,
                trial.written(ElementType.F32, weights),
                count,
                (long) sum.count(),
                accumulate ? 1 : 0,
                norms,
                partials,
                ticket,
                flag);
        Trial.closeFloats("ticket", new double[1], ticket, 0);
        return norms.read();
    }
}
