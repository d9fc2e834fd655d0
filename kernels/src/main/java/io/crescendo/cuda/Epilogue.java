package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionMethod.Operands;
import java.util.ArrayList;
import java.util.List;

/** Bias, addend and ReLU of a convolution that was computed without them: pointwise.cu and bias.cu, in place. */
final class Epilogue {
    private final ConvolutionProblem problem;
    private final Grids grids;

    Epilogue(ConvolutionProblem problem, Grids grids) {
        this.problem = problem;
        this.grids = grids;
    }

    /**
     * Prepares what is left to be done.
     *
     * @param added whether the result holds the addend already
     */
    Launch bind(Kernels kernels, Operands operands, boolean added) {
        long y = operands.result();
        long count = problem.resultElements();
        boolean rectify = problem.relu();
        List<Kernels.Call> calls = new ArrayList<>();
        if (problem.addend() && !added) {
            boolean last = !problem.bias();
            Grid grid = grids.packs(count);
            calls.add(call(kernels, "add", grid, y, y, operands.addend(), count, last && rectify ? 1 : 0));
            rectify &= !last;
        }
        if (problem.bias()) {
            int rows = Math.toIntExact(count / problem.filters());
            Grid grid = grids.rows(rows, problem.filters());
            calls.add(call(kernels, "add_bias", grid, y, y, operands.bias(), rows, problem.filters(), rectify ? 1 : 0));
        } else if (rectify) {
            calls.add(call(kernels, "relu", grids.packs(count), y, y, count));
        }
        return lane -> {
            for (Kernels.Call call : calls) {
                call.enqueue(lane.stream());
            }
        };
    }

    private Kernels.Call call(Kernels kernels, String kernel, Grid grid, Object... arguments) {
        String name = kernel + (problem.precision() == Precision.BF16 ? "_bf16" : "_f32");
        return kernels.call(name, grid.x(), grid.y(), arguments);
    }
}
