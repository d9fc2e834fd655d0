package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.reference.Twin;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** ghost_norm.cu. */
@NullMarked
final class GhostNormCheck {
    private static final double EPSILON = 1e-3;
    private static final double MOMENTUM = 0.1;

    private final Trial trial;
    /** Whole, aligned packs and enough rows for threads to have several under way, in a quarter of the trials. */
    private final boolean ahead;

    private final int samples;
    private final int channels;
    private final int height;
    private final int width;
    private final int plane;
    private final int ghostBatch;
    private final int groups;
    private final int slabs;
    /** Fewer than units in many trials, more in some. */
    private final int teams;

    private final int members;
    /** Chunks that a block keeps in shared memory. */
    private final int kept;

    private final Twin twin = new Twin();

    private GhostNormCheck(Trial trial) {
        this.trial = trial;
        ahead = trial.random().nextInt(4) == 0;
        // Many groups of little in some trials, so that teams go from unit to unit.
        boolean small = !ahead && trial.random().nextInt(3) == 0;
        samples = trial.between(ahead ? 3 : 1, small ? 24 : 7);
        channels = ahead ? trial.packed() * trial.between(8, 20) : trial.anyChannels();
        int longest = small ? 2 : channels > 100 ? 3 : 9;
        height = ahead ? trial.between(5, 7) : trial.between(1, longest);
        width = ahead ? trial.between(5, 7) : trial.between(1, longest);
        plane = height * width;
        ghostBatch = trial.between(ahead ? 2 : 1, small ? 2 : samples + 1);
        groups = (samples + ghostBatch - 1) / ghostBatch;
        slabs = trial.slabs(channels);
        boolean gangs = small && trial.random().nextInt(3) == 0;
        members = gangs
                ? trial.between(65, 90)
                : trial.random().nextInt(3) == 0
                        ? 1
                        : trial.between(2, ahead ? 3 : trial.random().nextInt(4) == 0 ? 12 : 4);
        teams = trial.between(1, gangs ? 1 : Math.min(groups * slabs + 1, 5));
        kept = trial.between(0, 3);
    }

    @Override
    public String toString() {
        return "(" + samples + ", " + channels + ", " + height + ", " + width + ") by " + ghostBatch + ", " + teams
                + " teams of " + members + " that keep " + kept;
    }

    static void forward(Trial trial) {
        new GhostNormCheck(trial).forward();
    }

    static void gradient(Trial trial) {
        new GhostNormCheck(trial).gradient();
    }

    private void forward() {
        // A mean that is far from zero in many trials: the naive formula E[x^2] - E[x]^2 would lose its digits.
        double mean = trial.random().nextBoolean() ? 0 : largeMean();
        double[] x = Arrays.stream(trial.activations(samples * channels * plane))
                .map(v -> trial.rounded(v + mean))
                .toArray();
        boolean added = trial.random().nextBoolean();
        boolean relu = trial.random().nextBoolean();
        double[] addend = trial.activations(x.length);
        if (trial.random().nextInt(4) == 0) {
            addend[trial.random().nextInt(addend.length)] = Double.NaN; // which a ReLU is to let through
        }
        double[] scale = trial.floats(channels);
        double[] shift = trial.floats(channels);
        double[] runningMean = trial.floats(channels);
        double[] runningVariance =
                Arrays.stream(trial.floats(channels)).map(Math::abs).toArray();
        DeviceBuffer deviceMean = trial.written(ElementType.F32, runningMean);
        DeviceBuffer deviceVariance = trial.written(ElementType.F32, runningVariance);

        Value addendValue = added ? tensor(addend) : null;
        Value mask = relu ? twin.zeros(samples, channels, height, width) : null;
        Op.GhostBatchNorm op = new Op.GhostBatchNorm(
                tensor(x),
                twin.value(scale, channels),
                twin.value(shift, channels),
                twin.value(runningMean, channels),
                twin.value(runningVariance, channels),
                addendValue,
                twin.zeros(samples, channels, height, width),
                twin.zeros(groups, channels),
                twin.zeros(groups, channels),
                mask,
                ghostBatch,
                EPSILON,
                MOMENTUM);
        twin.run(op);

        DeviceBuffer input = nhwc(x);
        DeviceBuffer means = trial.buffer(ElementType.F32, groups * channels);
        DeviceBuffer variances = trial.buffer(ElementType.F32, groups * channels);
        DeviceBuffer partials = partials();
        DeviceBuffer tickets = tickets();
        DeviceBuffer scales = trial.written(ElementType.F32, scale);
        DeviceBuffer shifts = trial.written(ElementType.F32, shift);
        // Float32 numbers about `mean`, averaged: a few of the mean's last places, and no more of the variance's.
        double tolerance = 2e-6 + 3e-7 * mean;
        double @Nullable [] before = null;
        for (int launch = 0; launch < 2; launch++) { // in another order of blocks and threads the second time
            boolean updates = launch == 0;
            DeviceBuffer output = added ? nhwc(addend) : trial.buffer(x.length); // the result may lie on the addend
            DeviceBuffer bits = relu ? trial.buffer(ElementType.U8, samples * plane * packs()) : null;
            List<@Nullable Object> arguments = new ArrayList<>(Arrays.asList(
                    input,
                    scales,
                    shifts,
                    means,
                    variances,
                    output,
                    bits,
                    updates ? deviceMean : null,
                    updates ? deviceVariance : null,
                    partials,
                    tickets,
                    samples,
                    channels,
                    plane,
                    ghostBatch,
                    (float) EPSILON,
                    (float) MOMENTUM,
                    relu ? 1 : 0,
                    kept));
            if (added) {
                arguments.add(1, output);
            }
            String kernel = trial.named(added ? "ghost_norm_forward_add" : "ghost_norm_forward");
            trial.launchTogether(kernel, new Grids.Teams(new Grid(teams, members), kept), arguments.toArray());
            requireZero(tickets);
            Trial.closeFloats("mean of " + this, twin.of(op.mean()), means, tolerance);
            Trial.closeFloats("variance of " + this, twin.of(op.variance()), variances, 2e-5 + tolerance);
            // 1/sqrt(epsilon) = 32 may multiply what is left of the mean's rounding, and scale three of it.
            trial.closeOrNaN("y of " + this, nhwcArray(twin.of(op.output())), output, 100 * tolerance);
            if (bits != null) {
                requirePositive(output.read(), bits);
            }
            if (before != null) {
                Trial.closeFloats("the same variance again, of " + this, before, variances, 0);
            }
            before = variances.read();
        }
        // Up to 24 groups one after the other, a rounding each.
        Trial.closeFloats("running mean of " + this, twin.of(op.runningMean()), deviceMean, 2e-6 + 2e-6 * mean);
        Trial.closeFloats(
                "running variance of " + this, twin.of(op.runningVariance()), deviceVariance, 2e-5 + tolerance);
        inference(input, scale, shift, deviceMean, deviceVariance, relu);
    }

    /** Far from zero; where groups are large enough to have a deviation of about one, ten thousand of them. */
    private double largeMean() {
        return trial.type() == ElementType.BF16 ? 4 : ahead ? 10_000 : 300;
    }

    private DeviceBuffer partials() {
        int gangs = members <= 64 ? members : (members + 15) / 16;
        return new DeviceBuffer(ElementType.F32, teams * (members + 2 * gangs) * 2 * 8 * trial.packed(), 0);
    }

    private DeviceBuffer tickets() {
        return new DeviceBuffer(ElementType.I32, slabs + 32 * teams, 0).zero();
    }

    private void requireZero(DeviceBuffer tickets) {
        Trial.closeFloats("tickets of " + this, new double[slabs + 32 * teams], tickets, 0);
    }

    /** The running averages as statistics of all samples. */
    private void inference(
            DeviceBuffer input,
            double[] scale,
            double[] shift,
            DeviceBuffer mean,
            DeviceBuffer variance,
            boolean relu) {
        Twin other = new Twin();
        double[] x = input.read();
        Value y = other.zeros((long) samples * plane, channels, 1, 1);
        other.run(new Op.BatchNormInference(
                other.value(x, (long) samples * plane, channels, 1, 1),
                other.value(scale, channels),
                other.value(shift, channels),
                other.value(mean.read(), channels),
                other.value(variance.read(), channels),
                null,
                y,
                EPSILON,
                relu));
        trial.launchGrid(
                trial.named("ghost_norm_apply"),
                trial.between(1, 5),
                slabs,
                input,
                trial.written(ElementType.F32, scale),
                trial.written(ElementType.F32, shift),
                mean,
                variance,
                input, // y may lie on x, too: every element is read before it is written
                samples,
                channels,
                plane,
                (float) EPSILON,
                relu ? 1 : 0);
        double largest = Arrays.stream(other.of(y)).map(Math::abs).max().orElse(0);
        trial.close("inference of " + this, other.of(y), input, 2e-6 * (1 + largest));
    }

    private void gradient() {
        int count = samples * channels * plane;
        double center = trial.random().nextBoolean() ? 0 : largeMean();
        double[] x = Arrays.stream(trial.activations(count))
                .map(v -> trial.rounded(v + center))
                .toArray();
        double[] dy = trial.activations(count);
        double[] scale = trial.floats(channels);
        double[] mean = Arrays.stream(trial.floats(groups * channels))
                .map(v -> (float) (v + center))
                .toArray();
        double[] variance = Arrays.stream(trial.floats(groups * channels))
                .map(v -> (float) (0.2 + Math.abs(v)))
                .toArray();
        double[] scaleGradient = trial.floats(channels); // gradients are added to
        double[] shiftGradient = trial.floats(channels);
        double[] scaleGradientBefore = scaleGradient.clone(); // the twin adds to its own
        double[] shiftGradientBefore = shiftGradient.clone();
        boolean relu = trial.random().nextBoolean();
        boolean added = trial.random().nextBoolean();
        double[] mask = new double[count];
        for (int i = 0; i < count; i++) {
            mask[i] = trial.random().nextInt(2);
        }

        Value maskValue = relu ? tensor(mask) : null;
        boolean others = trial.random().nextBoolean();
        double[] residual = trial.activations(count);
        Value residualValue = others ? tensor(residual) : null;
        Value addendGradient = added ? twin.zeros(samples, channels, height, width) : null;
        Op.GhostBatchNormGradient op = new Op.GhostBatchNormGradient(
                tensor(x),
                tensor(dy),
                twin.value(scale, channels),
                twin.value(mean, groups, channels),
                twin.value(variance, groups, channels),
                maskValue,
                residualValue,
                twin.zeros(samples, channels, height, width),
                addendGradient,
                twin.value(scaleGradient, channels),
                twin.value(shiftGradient, channels),
                ghostBatch,
                EPSILON);
        twin.run(op);

        DeviceBuffer input = nhwc(x);
        DeviceBuffer gradient = nhwc(dy);
        DeviceBuffer means = trial.written(ElementType.F32, mean);
        DeviceBuffer variances = trial.written(ElementType.F32, variance);
        DeviceBuffer bits = relu ? trial.written(ElementType.U8, pack(nhwcArray(mask))) : null;
        DeviceBuffer sums = trial.buffer(ElementType.F32, 2 * groups * channels);
        DeviceBuffer partials = partials();
        DeviceBuffer tickets = tickets();
        DeviceBuffer scales = trial.written(ElementType.F32, scale);
        // Once more, in another order of blocks and threads; at last dx lies on dy in some trials.
        for (int left = 1; left >= 0; left--) {
            DeviceBuffer dscale = trial.written(ElementType.F32, scaleGradientBefore);
            DeviceBuffer dshift = trial.written(ElementType.F32, shiftGradientBefore);
            DeviceBuffer daddend = added ? trial.buffer(count) : null;
            DeviceBuffer contributed = others ? nhwc(residual) : null;
            DeviceBuffer dx = left == 0 && trial.random().nextBoolean() ? gradient : trial.buffer(count);
            if (contributed != null && trial.random().nextBoolean()) {
                dx = contributed;
            }
            trial.launchTogether(
                    trial.named("ghost_norm_backward"),
                    new Grids.Teams(new Grid(teams, members), kept),
                    input,
                    gradient,
                    scales,
                    means,
                    variances,
                    bits,
                    sums,
                    contributed,
                    dx,
                    daddend,
                    dscale,
                    dshift,
                    partials,
                    tickets,
                    samples,
                    channels,
                    plane,
                    ghostBatch,
                    (float) EPSILON,
                    kept);
            requireZero(tickets);
            // Sums of up to 567 terms about 5 in size, in a tree: some ten roundings of sums below 200; dx has the
            // mean of them, times x^ and scale / deviation of up to 10.
            trial.close("dx of " + this, nhwcArray(twin.of(op.inputGradient())), dx, 2e-4);
            Trial.closeFloats("dscale of " + this, twin.of(op.scaleGradient()), dscale, 3e-4);
            Trial.closeFloats("dshift of " + this, twin.of(op.shiftGradient()), dshift, 3e-4);
            if (daddend != null && addendGradient != null) {
                trial.close("daddend of " + this, nhwcArray(twin.of(addendGradient)), daddend, 0);
            }
        }
    }

    private int packs() {
        return (channels + trial.packed() - 1) / trial.packed();
    }

    /** Bit by bit as the contract says, from one number per element. */
    private double[] pack(double[] positive) {
        double[] bytes = new double[samples * plane * packs()];
        for (int i = 0; i < positive.length; i++) {
            int c = i % channels;
            if (positive[i] != 0) {
                bytes[i / channels * packs() + c / trial.packed()] += 1 << (c % trial.packed());
            }
        }
        return bytes;
    }

    private void requirePositive(double[] output, DeviceBuffer bits) {
        Trial.closeFloats(
                "mask of " + this,
                pack(Arrays.stream(output)
                        .map(v -> v > 0 || Double.isNaN(v) ? 1 : 0)
                        .toArray()),
                bits,
                0);
    }

    private Value tensor(double[] values) {
        return twin.value(values, samples, channels, height, width);
    }

    private double[] nhwcArray(double[] values) {
        return Trial.toNhwc(values, channels, plane);
    }

    private DeviceBuffer nhwc(double[] values) {
        double[] arranged = nhwcArray(values);
        return ahead ? new DeviceBuffer(trial.type(), arranged.length, 0).write(arranged) : trial.written(arranged);
    }
}
