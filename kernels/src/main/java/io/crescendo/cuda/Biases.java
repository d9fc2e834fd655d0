package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Value;

/** The bias of convolutions and dense layers, whose products come from libraries: bias.cu. */
final class Biases {
    private static final String GRADIENT = "bias_gradient";

    private Biases() {}

    /** Appends dbias[c] += Σ dy[row, c]. */
    static void appendGradient(CudaLowering lowering, OpPlan plan, Value outputGradient, Value biasGradient) {
        Nhwc dy = Nhwc.of(outputGradient);
        Grids grids = lowering.grids();
        int places = lowering.target().blocksOfMultiprocessor(lowering.named(GRADIENT));
        Grid grid =
                new Grid(grids.splits(dy.rows(), dy.channels(), 1, Grids.AHEAD, places), grids.slabs(dy.channels()));
        long partials = plan.scratch((long) Float.BYTES * grid.x() * dy.channels());
        lowering.launch(
                plan,
                GRADIENT,
                grid,
                at -> arguments(
                        at.gradients(biasGradient),
                        at.value(outputGradient),
                        at.scratch(plan, partials),
                        at.tickets(),
                        dy.rows(),
                        dy.channels()));
    }
}
