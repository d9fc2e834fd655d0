package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionMethod.Operands;
import io.crescendo.cuda.ConvolutionProblem.Direction;

/**
 * A bf16 weight gradient, which waits behind the library's workspace to be added to the float32 pack: cuDNN has no
 * method that adds products of bf16 activations to float32. For every other problem it is nothing.
 *
 * @param libraryBytes the library's own workspace
 */
record NarrowGradient(ConvolutionProblem problem, Grids grids, long libraryBytes) {
    /** Whether the problem's result is one. */
    static boolean isResultOf(ConvolutionProblem problem) {
        return problem.direction() == Direction.WEIGHT_GRADIENT && problem.precision() == Precision.BF16;
    }

    private long offset() {
        return (libraryBytes + OpPlan.SCRATCH_ALIGNMENT - 1) / OpPlan.SCRATCH_ALIGNMENT * OpPlan.SCRATCH_ALIGNMENT;
    }

    /** The library's workspace with what waits behind it. */
    long workspaceBytes() {
        return isResultOf(problem) ? offset() + problem.weightElements() * Short.BYTES : libraryBytes;
    }

    /** Where the library writes. */
    long result(Operands operands) {
        return isResultOf(problem) ? operands.workspace() + offset() : operands.result();
    }

    /** Adds what has waited. */
    Launch bind(Kernels kernels, Operands operands) {
        if (!isResultOf(problem)) {
            return Launch.NOTHING;
        }
        long count = problem.weightElements();
        Grid grid = grids.packs(count);
        Kernels.Call call =
                kernels.call("accumulate_bf16", grid.x(), grid.y(), operands.result(), result(operands), count);
        return lane -> call.enqueue(lane.stream());
    }
}
