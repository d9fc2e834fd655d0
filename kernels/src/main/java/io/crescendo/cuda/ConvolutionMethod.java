package io.crescendo.cuda;

import jcuda.driver.CUstream;

/**
 * One way of computing one {@link ConvolutionProblem}, whole: with bias, addend and ReLU, or into the gradient pack.
 */
interface ConvolutionMethod extends AutoCloseable {
    /** Names the method among those for its problem, the same in every run. No white space. */
    String name();

    /** Scratch memory that it needs while it runs. */
    long workspaceBytes();

    /** Whether it gives the same bits in every run. */
    boolean deterministic();

    /**
     * Prepares a launch.
     *
     * @param lane where it will run
     */
    Launch bind(Lane lane, Operands operands);

    @Override
    void close();

    /**
     * A stream, cuDNN's handle for that stream, and the kernels.
     *
     * @param stream where kernels go
     * @param cudnn bound to the stream
     * @param kernels hand-written kernels
     */
    record Lane(CUstream stream, CudnnHandle cudnn, Kernels kernels) {}

    /**
     * Addresses on the device.
     *
     * @param first x, or dy for the input's gradient
     * @param second the weight, or dy for the weight's gradient
     * @param result y, dx, or the weight's gradient in the pack
     * @param bias float32, or 0
     * @param addend of the result's shape and type, or 0; may lie where the result goes
     * @param workspace {@link #workspaceBytes} bytes
     */
    record Operands(long first, long second, long result, long bias, long addend, long workspace) {}
}
