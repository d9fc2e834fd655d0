package io.crescendo.cuda;

/**
 * One way of computing one {@link ConvolutionProblem}, whole: with bias, addend and ReLU, or into the gradient pack
 * unless it is {@link #narrow}.
 */
interface ConvolutionMethod extends AutoCloseable {
    /** Names the method among those for its problem, the same in every run. No white space. */
    String name();

    /** Scratch memory that it needs while it runs. */
    long workspaceBytes();

    /** Whether it gives the same bits in every run. */
    boolean deterministic();

    /**
     * Whether it leaves a weight gradient in bf16 at {@link Operands#result} instead of adding float32 to what is
     * there. The caller then adds it: {@link NarrowGradients}.
     */
    default boolean narrow() {
        return false;
    }

    /**
     * Prepares a launch.
     *
     * @param kernels hand-written kernels, for what a library leaves to be done
     */
    Launch bind(Kernels kernels, Operands operands);

    @Override
    void close();

    /**
     * Addresses on the device.
     *
     * @param first x, or dy for the input's gradient
     * @param second the weight, or dy for the weight's gradient
     * @param result y, dx, or the weight's gradient in the pack, or a narrow one's own place
     * @param bias float32, or 0
     * @param addend of the result's shape and type, or 0; may lie where the result goes
     * @param workspace {@link #workspaceBytes} bytes
     */
    record Operands(long first, long second, long result, long bias, long addend, long workspace) {}
}
