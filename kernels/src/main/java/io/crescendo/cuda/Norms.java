package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Ghost batch norm, its gradient and batch norm with running averages: ghost_norm.cu.
 *
 * <p>Mean and variance are float32; a ReLU's mask takes one byte for each pack of 16 bytes of channels.
 */
final class Norms {
    /** Rows that a thread of a kernel which reads two activations has under way at once. */
    static final int BOTH_AHEAD = Grids.AHEAD / 2;

    private final CudaLowering lowering;

    Norms(CudaLowering lowering) {
        this.lowering = lowering;
    }

    /**
     * How the rows of x are shared out: groups of samples, and blocks for each group.
     *
     * @param groups how many
     * @param splits blocks of each
     */
    record Shares(int groups, int splits, Grid grid, int channels) {
        /**
         * For one kernel.
         *
         * @param kernel its full name
         * @param ahead rows that a thread of it has under way at once
         */
        static Shares of(
                Kernels kernels, Grids grids, String kernel, int ahead, int groups, long rowsOfGroup, int channels) {
            int places = kernels.blocksOfMultiprocessor(kernel);
            int splits = grids.splits(rowsOfGroup, channels, groups, ahead, places);
            Grid grid = new Grid(Math.multiplyExact(groups, splits), grids.slabs(channels));
            return new Shares(groups, splits, grid, channels);
        }

        /** Bytes of two float32 numbers per channel and block that shares a group; none if blocks share nothing. */
        long partialBytes() {
            return splits == 1 ? 0 : 2L * Float.BYTES * groups * splits * channels;
        }
    }

    /** The groups of an operation's samples. */
    private final class Groups {
        final Nhwc x;
        final int ghostBatch;
        final int groups;

        Groups(Value input, int ghostBatch) {
            x = Nhwc.of(input);
            this.ghostBatch = Math.min(ghostBatch, x.samples());
            groups = (x.samples() + this.ghostBatch - 1) / this.ghostBatch;
        }

        Shares shares(String kernel, int ahead) {
            return Shares.of(
                    lowering.device().kernels(),
                    lowering.grids(),
                    lowering.named(kernel),
                    ahead,
                    groups,
                    (long) ghostBatch * x.plane(),
                    x.channels());
        }
    }

    /** The launch that normalises, with or without an addend. */
    private void apply(
            OpPlan plan, Groups g, @Nullable Value addend, Function<Addresses, Object[]> pointers, Object... settings) {
        String kernel = addend == null ? "ghost_norm_apply" : "ghost_norm_apply_add";
        Shares shares = g.shares(kernel, addend == null ? Grids.AHEAD : BOTH_AHEAD);
        lowering.launch(plan, kernel, shares.grid(), at -> {
            List<Object> all = new ArrayList<>(List.of(pointers.apply(at)));
            if (addend != null) {
                all.add(1, at.value(addend));
            }
            all.addAll(List.of(g.x.samples(), g.x.channels(), g.x.plane(), g.ghostBatch, shares.splits()));
            all.addAll(List.of(settings));
            return all.toArray();
        });
    }

    OpPlan forward(Op.GhostBatchNorm op) {
        OpPlan plan = lowering.plan();
        Groups g = new Groups(op.input(), op.ghostBatch());
        Nhwc x = g.x;
        lowering.define(plan, op.output());
        CudaLowering.defineWords(plan, op.mean());
        CudaLowering.defineWords(plan, op.variance());
        Value mask = op.mask();
        if (mask != null) {
            plan.bytes(mask, x.rows() * lowering.grids().packsOf(x.channels()));
        }
        Value addend = op.addend();
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        Shares shares = g.shares("ghost_norm_statistics", Grids.AHEAD);
        long partials = plan.scratch(shares.partialBytes());
        lowering.launch(
                plan,
                "ghost_norm_statistics",
                shares.grid(),
                at -> arguments(
                        at.value(op.input()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        at.scratch(plan, partials),
                        at.tickets(),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        shares.splits()));
        apply(
                plan,
                g,
                addend,
                at -> arguments(
                        at.value(op.input()),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        at.value(op.output()),
                        orNull(at, mask),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance())),
                (float) op.epsilon(),
                (float) op.momentum(),
                op.relu() ? 1 : 0);
        return plan;
    }

    OpPlan gradient(Op.GhostBatchNormGradient op) {
        OpPlan plan = lowering.plan();
        Groups g = new Groups(op.input(), op.ghostBatch());
        Nhwc x = g.x;
        lowering.define(plan, op.inputGradient());
        plan.allowOverwriting(op.outputGradient());
        Value addendGradient = op.addendGradient();
        if (addendGradient != null) {
            lowering.define(plan, addendGradient);
        }
        long sums = plan.scratch(2L * Float.BYTES * g.groups * x.channels());
        Shares shares = g.shares("ghost_norm_gradient_sums", BOTH_AHEAD);
        long partials = plan.scratch(shares.partialBytes());
        lowering.launch(
                plan,
                "ghost_norm_gradient_sums",
                shares.grid(),
                at -> arguments(
                        at.value(op.input()),
                        at.value(op.outputGradient()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        orNull(at, op.mask()),
                        at.scratch(plan, sums),
                        at.scratch(plan, partials),
                        at.tickets(),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        shares.splits(),
                        (float) op.epsilon()));
        Shares gradientShares = g.shares("ghost_norm_gradient", BOTH_AHEAD);
        lowering.launch(
                plan,
                "ghost_norm_gradient",
                gradientShares.grid(),
                at -> arguments(
                        at.value(op.input()),
                        at.value(op.outputGradient()),
                        at.weights(op.scale()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        orNull(at, op.mask()),
                        at.scratch(plan, sums),
                        at.value(op.inputGradient()),
                        orNull(at, addendGradient),
                        at.gradients(op.scaleGradient()),
                        at.gradients(op.shiftGradient()),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        gradientShares.splits(),
                        (float) op.epsilon()));
        return plan;
    }

    /** The running averages stand for the statistics of one group of all samples, and nothing is updated. */
    OpPlan inference(Op.BatchNormInference op) {
        OpPlan plan = lowering.plan();
        Groups g = new Groups(op.input(), Integer.MAX_VALUE);
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        Value addend = op.addend();
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        apply(
                plan,
                g,
                addend,
                at -> arguments(
                        at.value(op.input()),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance()),
                        at.value(op.output()),
                        0L,
                        0L,
                        0L),
                (float) op.epsilon(),
                0f,
                op.relu() ? 1 : 0);
        return plan;
    }

    private static long orNull(Addresses at, @Nullable Value value) {
        return value == null ? 0 : at.value(value);
    }
}
