package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import org.jspecify.annotations.Nullable;

/**
 * Ghost batch norm, its gradient and batch norm with running averages: ghost_norm.cu.
 *
 * <p>Mean and variance are float32; a ReLU's mask takes one byte for each pack of 16 bytes of channels.
 */
final class Norms {
    private final CudaLowering lowering;

    Norms(CudaLowering lowering) {
        this.lowering = lowering;
    }

    /** How the rows of x are shared out: groups of samples, and blocks for each group. */
    private final class Groups {
        final Nhwc x;
        final int ghostBatch;
        final int groups;
        final int splits;
        final Grid grid;

        Groups(Value input, int ghostBatch) {
            x = Nhwc.of(input);
            this.ghostBatch = Math.min(ghostBatch, x.samples());
            groups = (x.samples() + this.ghostBatch - 1) / this.ghostBatch;
            Grids grids = lowering.grids();
            splits = grids.splits((long) this.ghostBatch * x.plane(), x.channels(), groups);
            grid = new Grid(Math.multiplyExact(groups, splits), grids.slabs(x.channels()));
        }

        /** Bytes of two float32 numbers per channel and block that shares a group; none if blocks share nothing. */
        long partialBytes() {
            return splits == 1 ? 0 : 2L * Float.BYTES * groups * splits * x.channels();
        }
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
        long partials = plan.scratch(g.partialBytes());
        lowering.launch(
                plan,
                "ghost_norm_statistics",
                g.grid,
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
                        g.splits));
        lowering.launch(
                plan,
                "ghost_norm_apply",
                g.grid,
                at -> arguments(
                        at.value(op.input()),
                        orNull(at, addend),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        at.value(op.output()),
                        orNull(at, mask),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance()),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        g.splits,
                        (float) op.epsilon(),
                        (float) op.momentum(),
                        op.relu() ? 1 : 0));
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
        long partials = plan.scratch(g.partialBytes());
        lowering.launch(
                plan,
                "ghost_norm_gradient_sums",
                g.grid,
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
                        g.splits,
                        (float) op.epsilon()));
        lowering.launch(
                plan,
                "ghost_norm_gradient",
                g.grid,
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
                        g.splits,
                        (float) op.epsilon()));
        return plan;
    }

    /** The running averages stand for the statistics of one group of all samples, and nothing is updated. */
    OpPlan inference(Op.BatchNormInference op) {
        OpPlan plan = lowering.plan();
        Groups g = new Groups(op.input(), Integer.MAX_VALUE);
        Nhwc x = g.x;
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        Value addend = op.addend();
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        lowering.launch(
                plan,
                "ghost_norm_apply",
                g.grid,
                at -> arguments(
                        at.value(op.input()),
                        orNull(at, addend),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance()),
                        at.value(op.output()),
                        0L,
                        0L,
                        0L,
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        g.splits,
                        (float) op.epsilon(),
                        0f,
                        op.relu() ? 1 : 0));
        return plan;
    }

    private static long orNull(Addresses at, @Nullable Value value) {
        return value == null ? 0 : at.value(value);
    }
}
