package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;

/** Operations that move elements: concatenation, its gradient, and flattening, all with channels.cu. */
final class Rearranging {
    private static final int TILE = 32;

    private final CudaLowering lowering;

    Rearranging(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan concat(Op.Concat op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Nhwc whole = Nhwc.of(op.output());
        int first = 0;
        for (Value input : op.inputs()) {
            Nhwc part = Nhwc.of(input);
            int yFirst = first;
            lowering.launch(
                    plan,
                    "copy_channels",
                    lowering.grids().rows(part.rows(), part.channels()),
                    at -> arguments(
                            at.value(op.output()),
                            at.value(input),
                            part.rows(),
                            part.channels(),
                            whole.channels(),
                            yFirst,
                            part.channels(),
                            0));
            first += part.channels();
        }
        return plan;
    }

    OpPlan concatGradient(Op.ConcatGradient op) {
        OpPlan plan = lowering.plan();
        Nhwc whole = Nhwc.of(op.outputGradient());
        int first = 0;
        for (Value output : op.inputGradients()) {
            lowering.define(plan, output);
            Nhwc part = Nhwc.of(output);
            int xFirst = first;
            lowering.launch(
                    plan,
                    "copy_channels",
                    lowering.grids().rows(part.rows(), part.channels()),
                    at -> arguments(
                            at.value(output),
                            at.value(op.outputGradient()),
                            part.rows(),
                            part.channels(),
                            part.channels(),
                            0,
                            whole.channels(),
                            xFirst));
            first += part.channels();
        }
        return plan;
    }

    /** Between (N, C, H, W), which lies in NHWC, and the order that its elements have in (N, C·H·W). */
    OpPlan reshape(Op.Reshape op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Nhwc from = Nhwc.of(op.input());
        Nhwc to = Nhwc.of(op.output());
        if (inOrder(from) && inOrder(to)) {
            plan.allowOverwriting(op.input());
            copy(plan, op);
        } else if (inOrder(to)) {
            transpose(plan, op, from.samples(), from.plane(), from.channels());
        } else if (inOrder(from)) {
            transpose(plan, op, to.samples(), to.channels(), to.plane());
        } else {
            throw new IllegalArgumentException("cannot reshape " + op.input() + " into " + op.output()
                    + ": one of them must be flat; flatten first");
        }
        return plan;
    }

    /** Whether NHWC order is also the logical, (C, H, W), order. */
    private static boolean inOrder(Nhwc value) {
        return value.plane() == 1 || value.channels() == 1;
    }

    /** By a kernel, as {@link GraphConvolution} says why. */
    private void copy(OpPlan plan, Op.Reshape op) {
        long count = op.output().shape().elements();
        plan.launch(at -> {
            long source = at.value(op.input());
            long target = at.value(op.output());
            return source == target
                    ? Launch.NOTHING
                    : lowering.call("scale", lowering.grids().packs(count), target, source, count, 1f);
        });
    }

    private void transpose(OpPlan plan, Op.Reshape op, int samples, int rows, int columns) {
        long tiles = (long) samples * tilesOver(rows) * tilesOver(columns);
        lowering.launch(
                plan,
                "transpose",
                lowering.grids().blocks(tiles),
                at -> arguments(at.value(op.output()), at.value(op.input()), samples, rows, columns));
    }

    private static long tilesOver(int lines) {
        return (lines + TILE - 1L) / TILE;
    }
}
