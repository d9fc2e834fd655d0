package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.List;
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

        /** See {@link Grids#teams}. */
        Grids.Teams teams(String kernel, int ahead, int twice, int once) {
            Kernels.Room room = lowering.target().room(lowering.named(kernel));
            Grids.Teams teams = lowering.grids()
                    .teams((long) ghostBatch * x.plane(), x.channels(), groups, ahead, twice, once, room);
            long tickets = lowering.grids().tickets(teams, x.channels());
            if (tickets > Addresses.TICKETS) {
                throw new IllegalArgumentException(kernel + " of " + x.channels() + " channels takes " + tickets
                        + " tickets, there are " + Addresses.TICKETS);
            }
            return teams;
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
        String kernel = addend == null ? "ghost_norm_forward" : "ghost_norm_forward_add";
        Grids.Teams teams = g.teams(kernel, Grids.AHEAD, 1, addend == null ? 1 : 2);
        long partials = plan.scratch(lowering.grids().partialBytes(teams));
        lowering.launchTogether(
                plan,
                kernel,
                teams,
                at -> withAddend(
                        at,
                        addend,
                        at.value(op.input()),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        at.value(op.output()),
                        orNull(at, mask),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance()),
                        at.scratch(plan, partials),
                        at.tickets(),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        (float) op.epsilon(),
                        (float) op.momentum(),
                        op.relu() ? 1 : 0,
                        teams.kept()));
        return plan;
    }

    /** What is added comes second, for the kernels that add something. */
    private static Object[] withAddend(Addresses at, @Nullable Value addend, Object... arguments) {
        List<Object> all = new ArrayList<>(List.of(arguments));
        if (addend != null) {
            all.add(1, at.value(addend));
        }
        return all.toArray();
    }

    OpPlan gradient(Op.GhostBatchNormGradient op) {
        OpPlan plan = lowering.plan();
        Groups g = new Groups(op.input(), op.ghostBatch());
        Nhwc x = g.x;
        lowering.define(plan, op.inputGradient());
        plan.allowOverwriting(op.outputGradient());
        Value residual = op.residual();
        if (residual != null) {
            plan.allowOverwriting(residual);
        }
        Value addendGradient = op.addendGradient();
        if (addendGradient != null) {
            lowering.define(plan, addendGradient);
        }
        long sums = plan.scratch(2L * Float.BYTES * g.groups * x.channels());
        Grids.Teams teams = g.teams(
                "ghost_norm_backward",
                BOTH_AHEAD,
                2,
                1 + (residual == null ? 0 : 1) + (addendGradient == null ? 0 : 1));
        long partials = plan.scratch(lowering.grids().partialBytes(teams));
        lowering.launchTogether(
                plan,
                "ghost_norm_backward",
                teams,
                at -> arguments(
                        at.value(op.input()),
                        at.value(op.outputGradient()),
                        at.weights(op.scale()),
                        at.value(op.mean()),
                        at.value(op.variance()),
                        orNull(at, op.mask()),
                        at.scratch(plan, sums),
                        orNull(at, residual),
                        at.value(op.inputGradient()),
                        orNull(at, addendGradient),
                        at.gradients(op.scaleGradient()),
                        at.gradients(op.shiftGradient()),
                        at.scratch(plan, partials),
                        at.tickets(),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        g.ghostBatch,
                        (float) op.epsilon(),
                        teams.kept()));
        return plan;
    }

    /** The running averages stand for the statistics of one group of all samples, and nothing is updated. */
    OpPlan inference(Op.BatchNormInference op) {
        OpPlan plan = lowering.plan();
        Nhwc x = Nhwc.of(op.input());
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        Value addend = op.addend();
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        String kernel = addend == null ? "ghost_norm_apply" : "ghost_norm_apply_add";
        Grids grids = lowering.grids();
        int places = lowering.target().blocksOfMultiprocessor(lowering.named(kernel));
        int splits = grids.splits(x.rows(), x.channels(), 1, Grids.AHEAD, places);
        lowering.launch(
                plan,
                kernel,
                new Grid(splits, grids.slabs(x.channels())),
                at -> withAddend(
                        at,
                        addend,
                        at.value(op.input()),
                        at.weights(op.scale()),
                        at.weights(op.shift()),
                        at.statistics(op.runningMean()),
                        at.statistics(op.runningVariance()),
                        at.value(op.output()),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        (float) op.epsilon(),
                        op.relu() ? 1 : 0));
        return plan;
    }

    private static long orNull(Addresses at, @Nullable Value value) {
        return value == null ? 0 : at.value(value);
    }
}
