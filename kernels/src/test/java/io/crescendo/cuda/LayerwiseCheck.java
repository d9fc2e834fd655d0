package io.crescendo.cuda;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.reference.ReferenceProvider;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** layerwise.cu and clip.cu. */
@NullMarked
final class LayerwiseCheck {
    // As in UpdateCheck; a norm over a thousand elements adds some tens of roundings, all of one sign at worst.
    private static final double TOLERANCE = 1e-4;

    private LayerwiseCheck() {}

    /** A model's buffers on the device. */
    private record Device(
            DeviceBuffer w,
            List<DeviceBuffer> states,
            DeviceBuffer dw,
            @Nullable DeviceBuffer shadow,
            Table table) {}

    /** Every tensor in pieces, and what the launches keep in between. */
    private record Table(
            DeviceBuffer pieces, DeviceBuffer firstPiece, DeviceBuffer decayed, int tensors, DeviceBuffer localRates) {
        static Table of(Trial trial, ParameterPack pack) {
            int pieceElements = 16 * trial.between(1, 64);
            List<Long> pieces = new ArrayList<>();
            List<Parameter> parameters = pack.parameters();
            double[] first = new double[parameters.size() + 1];
            for (int tensor = 0; tensor < parameters.size(); tensor++) {
                Parameter parameter = parameters.get(tensor);
                for (long from = parameter.offset(); from < parameter.end(); from += pieceElements) {
                    pieces.add(from);
                    pieces.add(Math.min(pieceElements, parameter.end() - from) | (long) tensor << 32);
                }
                first[tensor + 1] = pieces.size() / 2.0;
            }
            return new Table(
                    new DeviceBuffer(ElementType.I64, pieces.size(), 0)
                            .writeLongs(pieces.stream().mapToLong(i -> i).toArray()),
                    trial.written(ElementType.I32, first),
                    UpdateCheck.decayMask(pack),
                    parameters.size(),
                    trial.buffer(ElementType.F32, parameters.size()));
        }

        int pieceCount() {
            return pieces.count() / 2;
        }
    }

    static void rules(Trial trial) {
        double beta2 = 0.9 + 0.0999 * trial.random().nextDouble();
        UpdateRule rule = trial.random().nextBoolean()
                ? new UpdateRule.Lars(0.01 + trial.random().nextDouble())
                : new UpdateRule.Lamb(beta2, 1e-3);
        ParameterPack pack = UpdateCheck.randomPack(trial);
        int elements = Math.toIntExact(pack.elements());
        Table table = Table.of(trial, pack);
        List<DeviceBuffer> states = new ArrayList<>();
        for (int i = 0; i < rule.stateSlots(); i++) {
            states.add(trial.buffer(ElementType.F32, elements).zero());
        }
        Device device = new Device(
                trial.buffer(ElementType.F32, elements),
                states,
                trial.buffer(ElementType.F32, elements),
                trial.type() == ElementType.BF16
                        ? trial.buffer(ElementType.BF16, elements).zero()
                        : null,
                table);
        double[] weights = new double[elements];
        double[] gradients = new double[elements];
        try (Backend backend = new ReferenceProvider().open(BackendOptions.DEFAULT);
                ModelMemory model =
                        new ModelMemory(backend.allocate(elements), backend.allocate(elements), backend.allocate(0));
                UpdateKernel twin = backend.prepareUpdate(rule, model, pack, UpdateCheck::decays)) {
            UpdateCheck.fill(trial, pack, weights);
            zeroATensor(trial, pack, weights);
            device.w.write(weights);
            UpdateCheck.set(model.weights(), weights);
            for (int t = 1; t <= 2; t++) {
                UpdateCheck.fill(trial, pack, gradients);
                zeroATensor(trial, pack, gradients);
                device.dw.write(gradients);
                UpdateCheck.set(model.gradients(), gradients);
                UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 0.5, 0.01, t);
                twin.apply(scalars);
                DeviceBuffer lowered =
                        trial.random().nextBoolean() ? new DeviceBuffer(ElementType.I32, 1, 0).zero() : null;
                launch(trial, rule, device, scalars, lowered, true);
            }
            String what = rule + " over " + pack.parameters().size() + " tensors";
            Trial.closeFloats(what, UpdateCheck.values(model.weights()), device.w, TOLERANCE);
            for (int i = 0; i < states.size(); i++) {
                double[] state = UpdateCheck.values(twin.state().get(i));
                Trial.closeFloats(what + ", state " + i, state, states.get(i), TOLERANCE);
            }
            Trial.closeFloats(what + ", cleared gradient", new double[elements], device.dw, 0);
            DeviceBuffer shadow = device.shadow;
            if (shadow != null) {
                double[] rounded =
                        Arrays.stream(device.w.read()).map(trial::rounded).toArray();
                Trial.closeFloats(what + ", shadow", rounded, shadow, 0);
            }
            skips(trial, rule, device, gradients);
        }
    }

    /** Now and then: weights that start at zero, and layers that a batch does not reach. */
    private static void zeroATensor(Trial trial, ParameterPack pack, double[] values) {
        if (trial.random().nextInt(3) == 0) {
            Parameter parameter = pack.parameters()
                    .get(trial.random().nextInt(pack.parameters().size()));
            Arrays.fill(values, (int) parameter.offset(), (int) parameter.end(), 0);
        }
    }

    /** A raised flag leaves everything but the gradient. */
    private static void skips(Trial trial, UpdateRule rule, Device device, double[] gradients) {
        double[] before = device.w.read();
        List<double[]> states = device.states.stream().map(DeviceBuffer::read).toList();
        DeviceBuffer raised = new DeviceBuffer(ElementType.I32, 1, 0).write(1);
        UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 0.5, 0.01, 3);
        for (boolean clear : new boolean[] {false, true}) {
            device.dw.write(gradients);
            launch(trial, rule, device, scalars, raised, clear);
            Trial.closeFloats("weights of a skipped update", before, device.w, 0);
            for (int i = 0; i < states.size(); i++) {
                Trial.closeFloats("state of a skipped update", states.get(i), device.states.get(i), 0);
            }
            double[] left = clear ? new double[gradients.length] : gradients;
            Trial.closeFloats("gradient of a skipped update", left, device.dw, 0);
        }
    }

    private static void launch(
            Trial trial,
            UpdateRule rule,
            Device device,
            UpdateScalars scalars,
            @Nullable DeviceBuffer skip,
            boolean clear) {
        Table table = device.table;
        double beta2 = rule instanceof UpdateRule.Lamb lamb ? lamb.beta2() : 0;
        DeviceBuffer numbers = UpdateCheck.numbers(scalars, beta2, Double.NaN);
        DeviceBuffer partials = new DeviceBuffer(ElementType.F64, 2 * table.pieceCount(), 0);
        DeviceBuffer ticket = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        DeviceBuffer a = device.states.get(0);
        if (rule instanceof UpdateRule.Lars lars) {
            trial.launch(
                    "lars_norms",
                    device.w,
                    device.dw,
                    table.pieces,
                    table.pieceCount(),
                    table.firstPiece,
                    table.tensors,
                    numbers,
                    table.decayed,
                    partials,
                    table.localRates,
                    ticket,
                    (float) lars.trust());
            trial.launch(
                    "update_lars",
                    device.w,
                    a,
                    device.dw,
                    device.shadow,
                    table.pieces,
                    table.pieceCount(),
                    table.localRates,
                    numbers,
                    table.decayed,
                    skip,
                    clear ? 1 : 0);
        } else if (rule instanceof UpdateRule.Lamb lamb) {
            DeviceBuffer b = device.states.get(1);
            trial.launch(
                    "lamb_norms",
                    device.w,
                    a,
                    b,
                    device.dw,
                    table.pieces,
                    table.pieceCount(),
                    table.firstPiece,
                    table.tensors,
                    numbers,
                    table.decayed,
                    skip,
                    clear ? 1 : 0,
                    partials,
                    table.localRates,
                    ticket,
                    (float) beta2,
                    (float) (1 - beta2),
                    (float) lamb.epsilon());
            trial.launch(
                    "update_lamb",
                    device.w,
                    a,
                    b,
                    device.shadow,
                    table.pieces,
                    table.pieceCount(),
                    table.localRates,
                    numbers,
                    table.decayed,
                    skip,
                    (float) lamb.epsilon());
        }
        Trial.closeFloats("ticket", new double[1], ticket, 0);
    }

    /** The norm in double; the scale shrinks only where the gradient is longer than allowed. */
    static void clipping(Trial trial) {
        int count = trial.between(1, 6000);
        double[] gradient = trial.floats(count);
        double scale = 0.25;
        double squares = scale * scale * Arrays.stream(gradient).map(x -> x * x).sum();
        double clipNorm = trial.random().nextInt(4) == 0
                ? Double.POSITIVE_INFINITY
                : Math.sqrt(squares) * (0.25 + 1.5 * trial.random().nextDouble());
        double factor = Math.min(1, clipNorm / Math.sqrt(squares));
        double[] given = UpdateCheck.numbers(new UpdateScalars(0.1, 0.9, scale, 0.01, 1), 0, clipNorm)
                .read();
        double[] expected = given.clone();
        expected[2] = scale * factor;
        DeviceBuffer numbers = new DeviceBuffer(ElementType.F32, given.length, 0);
        DeviceBuffer flag = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        double norm = clip(trial, trial.written(ElementType.F32, gradient), given, numbers, flag);
        // Thousands of squares, added in float32 within a thread and a warp only: some tens of roundings.
        if (!(Math.abs(norm - squares) <= 1e-5 * squares)) {
            throw new AssertionError("the norm is " + norm + ", not " + squares);
        }
        Trial.closeFloats("numbers after clipping to " + clipNorm, expected, numbers, 1e-5 * scale);
        Trial.closeFloats("finite", new double[1], flag, 0);

        gradient[trial.random().nextInt(count)] = trial.random().nextBoolean() ? Double.NaN : Double.NEGATIVE_INFINITY;
        clip(trial, trial.written(ElementType.F32, gradient), given, numbers, flag);
        Trial.closeFloats("not finite", new double[] {1}, flag, 0);
    }

    private static double clip(
            Trial trial, DeviceBuffer gradient, double[] given, DeviceBuffer numbers, DeviceBuffer flag) {
        int blocks = trial.between(1, 5);
        DeviceBuffer norm = new DeviceBuffer(ElementType.F64, 1, 0);
        DeviceBuffer partials = new DeviceBuffer(ElementType.F64, blocks, 0);
        DeviceBuffer ticket = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        trial.launchGrid(
                "clip_gradient",
                blocks,
                1,
                gradient,
                (long) gradient.count(),
                new DeviceBuffer(ElementType.F32, given.length, 0).write(given),
                numbers,
                norm,
                flag,
                partials,
                ticket);
        Trial.closeFloats("ticket", new double[1], ticket, 0);
        return norm.read()[0];
    }
}
