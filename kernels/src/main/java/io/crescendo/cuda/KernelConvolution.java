package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;

/**
 * A convolution by the kernels of convolution.cu: takes every shape and needs no workspace, but is slow. It is chosen
 * only where cuDNN has nothing to offer.
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
    public boolean addsInPlace() {
        return false;
    }

    @Override
    public Launch bind(Lane lane, Operands operands) {
        Grid grid = switch (problem.direction()) {
            case FORWARD -> grids.threads(problem.outputElements());
            case INPUT_GRADIENT -> grids.threads(problem.inputElements());
            case WEIGHT_GRADIENT -> grids.blocks(problem.weightElements());
        };
        String kernel = switch (problem.direction()) {
            case FORWARD -> "convolution";
            case INPUT_GRADIENT -> "convolution_input_gradient";
            case WEIGHT_GRADIENT -> "convolution_weight_gradient";
        };
        Kernels.Call call = lane.kernels()
                .call(
                        kernel + (problem.precision() == Precision.BF16 ? "_bf16" : "_f32"),
                        grid.x(),
                        grid.y(),
                        operands.first(),
                        operands.second(),
                        operands.result(),
                        problem.samples(),
                        problem.channels(),
                        problem.height(),
                        problem.width(),
                        problem.filters(),
                        problem.outHeight(),
                        problem.outWidth(),
                        problem.kernelHeight(),
                        problem.kernelWidth(),
                        problem.strideHeight(),
                        problem.strideWidth(),
                        problem.padHeight(),
                        problem.padWidth(),
                        problem.groups());
        if (problem.direction() != Direction.FORWARD) {
            return () -> call.enqueue(lane.stream());
        }
        Launch after = epilogue.bind(lane, operands, false);
        return () -> {
            call.enqueue(lane.stream());
            after.enqueue();
        };
    }

    @Override
    public void close() {}
}
