package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;

/** Max and average pooling: pooling.cu. The indices of max pooling are int32, h·W + w of the winner. */
final class Pools {
    private final CudaLowering lowering;

    Pools(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan max(Op.MaxPool op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Value indices = op.indices();
        if (indices != null) {
            CudaLowering.defineWords(plan, indices);
        }
        Shapes shapes = new Shapes(Nhwc.of(op.input()), Nhwc.of(op.output()), op.window());
        lowering.launch(
                plan,
                "max_pool",
                grid(shapes.output),
                at -> shapes.behind(
                        at.value(op.input()), at.value(op.output()), indices == null ? 0L : at.value(indices)));
        return plan;
    }

    OpPlan maxGradient(Op.MaxPoolGradient op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.inputGradient());
        Shapes shapes = new Shapes(Nhwc.of(op.inputGradient()), Nhwc.of(op.outputGradient()), op.window());
        lowering.launch(
                plan,
                "max_pool_gradient",
                grid(shapes.input),
                at -> shapes.behind(
                        at.value(op.outputGradient()), at.value(op.indices()), at.value(op.inputGradient())));
        return plan;
    }

    OpPlan average(Op.AveragePool op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Shapes shapes = new Shapes(Nhwc.of(op.input()), Nhwc.of(op.output()), op.window());
        lowering.launch(
                plan,
                "average_pool",
                lowering.grids().rows(shapes.output.rows(), shapes.output.channels(), threadsOf(op.window())),
                at -> shapes.behind(at.value(op.input()), at.value(op.output())));
        return plan;
    }

    OpPlan averageGradient(Op.AveragePoolGradient op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.inputGradient());
        Shapes shapes = new Shapes(Nhwc.of(op.inputGradient()), Nhwc.of(op.outputGradient()), op.window());
        lowering.launch(
                plan,
                "average_pool_gradient",
                grid(shapes.input),
                at -> shapes.behind(at.value(op.outputGradient()), at.value(op.inputGradient())));
        return plan;
    }

    /** How many threads find enough to do in one window: each has AHEAD elements under way at once. */
    private static long threadsOf(Window window) {
        return ((long) window.kernelHeight() * window.kernelWidth() + Grids.AHEAD - 1) / Grids.AHEAD;
    }

    private Grid grid(Nhwc result) {
        return lowering.grids().rows(result.rows(), result.channels());
    }

    /** What all four kernels are told about the window. */
    private record Shapes(Nhwc input, Nhwc output, Window window) {
        Object[] behind(Object... addresses) {
            Object[] shapes = arguments(
                    input.samples(),
                    input.channels(),
                    input.height(),
                    input.width(),
                    output.height(),
                    output.width(),
                    window.kernelHeight(),
                    window.kernelWidth(),
                    window.strideHeight(),
                    window.strideWidth(),
                    window.padTop(),
                    window.padLeft());
            Object[] all = new Object[addresses.length + shapes.length];
            System.arraycopy(addresses, 0, all, 0, addresses.length);
            System.arraycopy(shapes, 0, all, addresses.length, shapes.length);
            return all;
        }
    }
}
