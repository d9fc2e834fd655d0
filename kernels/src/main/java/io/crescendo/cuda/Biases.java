package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Value;

/** The bias of convolutions and dense layers, whose products come from libraries: bias.cu. */
final class Biases {
    private static final int ROWS_OF_THREAD = 64;
    private static final int MOST_BLOCKS = 256;

    private Biases() {}

    /** Appends dbias[c] += Σ dy[row, c]. */
    static void appendGradient(CudaLowering lowering, OpPlan plan, Value outputGradient, Value biasGradient) {
        Nhwc dy = Nhwc.of(outputGradient);
        Grid grid = lowering.grids().rows(dy.rows(), dy.channels(), ROWS_OF_THREAD, MOST_BLOCKS);
        long partials = plan.scratch((long) Float.BYTES * grid.x() * dy.channels());
        lowering.launch(
                plan,
                "bias_gradient",
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
