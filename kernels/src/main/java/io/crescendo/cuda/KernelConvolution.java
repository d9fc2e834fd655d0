package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.List;

/**
 * A convolution by the kernels of convolution.cu: takes every shape and needs no workspace, but is slow. It is chosen
 * only where nothing else is to be had.
 */
final class KernelConvolution implements ConvolutionMethod {
    private static final String NAME = "kernel";

    private final ConvolutionProblem problem;
    private final Epilogue epilogue;
    private final Grids grids;

    KernelConvolution(ConvolutionProblem problem, Grids grids) {
        this.problem = problem;
        this.epilogue = new Epilogue(problem, grids);
        this.grids = grids;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public long workspaceBytes() {
        return 0;
    }

    @Override
    public boolean deterministic() {
        return true;
    }

    @Override
    public Launch bind(Kernels kernels, Operands operands) {
        Direction direction = problem.direction();
        Grid grid = direction == Direction.WEIGHT_GRADIENT
                ? grids.blocks(problem.resultElements())
                : grids.threads(problem.resultElements());
        String kernel = switch (direction) {
            case FORWARD -> "convolution";
            case INPUT_GRADIENT -> "convolution_input_gradient";
            case WEIGHT_GRADIENT -> "convolution_weight_gradient";
        };
        boolean added = problem.addend() && operands.addend() == operands.result();
        List<Object> arguments = new ArrayList<>(List.of(operands.first(), operands.second(), operands.result()));
        if (direction != Direction.WEIGHT_GRADIENT) {
            arguments.add(added ? 1 : 0);
        }
        arguments.addAll(problem.extents());
        String type = problem.precision() == Precision.BF16 ? "_bf16" : "_f32";
        Kernels.Call call = kernels.call(kernel + type, grid.x(), grid.y(), arguments.toArray());
        Launch after =
                direction != Direction.WEIGHT_GRADIENT ? epilogue.bind(kernels, operands, added) : Launch.NOTHING;
        return lane -> {
            call.enqueue(lane.stream());
            after.enqueue(lane);
        };
    }

    @Override
    public void close() {}
}
