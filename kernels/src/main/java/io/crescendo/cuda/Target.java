package io.crescendo.cuda;

import io.crescendo.backend.Precision;

/**
 * What lowering a program asks of a GPU: of one that is open, {@link CudaDevice}, or of one that is not here,
 * {@link CudaForecast}.
 */
interface Target {
    /** Number format of products and activations. */
    Precision precision();

    /** Launch shapes for activations of so many bytes an element. */
    Grids grids(int elementBytes);

    /** See {@link Kernels#room}. */
    Kernels.Room room(String kernel);

    /** See {@link Kernels#blocksOfMultiprocessor}. */
    int blocksOfMultiprocessor(String kernel);

    /** How a convolution will be computed. Whoever asks closes it. */
    Method method(ConvolutionProblem problem);

    /** What is launched; asked for when a program is bound, not before. */
    Kernels kernels();

    /** A scope for something made there. */
    CudaScope newScope();

    /** A convolution whose method is known, or will be when it is needed. */
    interface Method extends AutoCloseable {
        /** What the method needs at most; exactly that, once it is decided. */
        long workspaceBytes();

        /** The method; measures if need be. */
        ConvolutionMethod decide();

        @Override
        void close();
    }
}
