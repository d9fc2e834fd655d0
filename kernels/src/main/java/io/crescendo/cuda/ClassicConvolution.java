package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.*;
import static jcuda.jcudnn.cudnnConvolutionBwdDataAlgo.CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
import static jcuda.jcudnn.cudnnConvolutionBwdDataAlgo.CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
import static jcuda.jcudnn.cudnnConvolutionBwdFilterAlgo.CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0;
import static jcuda.jcudnn.cudnnConvolutionBwdFilterAlgo.CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
import static jcuda.jcudnn.cudnnConvolutionBwdFilterAlgo.CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3;
import static jcuda.jcudnn.cudnnConvolutionFwdAlgo.CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
import static jcuda.jcudnn.cudnnConvolutionFwdAlgo.CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
import static jcuda.jcudnn.cudnnConvolutionMode.CUDNN_CROSS_CORRELATION;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_BFLOAT16;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_FLOAT;
import static jcuda.jcudnn.cudnnMathType.CUDNN_DEFAULT_MATH;
import static jcuda.jcudnn.cudnnMathType.CUDNN_FMA_MATH;
import static jcuda.jcudnn.cudnnMathType.CUDNN_TENSOR_OP_MATH;
import static jcuda.jcudnn.cudnnTensorFormat.CUDNN_TENSOR_NHWC;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.jcudnn.cudnnConvolutionDescriptor;
import jcuda.jcudnn.cudnnFilterDescriptor;
import jcuda.jcudnn.cudnnTensorDescriptor;
import org.jspecify.annotations.Nullable;

/**
 * A convolution through cuDNN's classic functions.
 *
 * <p>Calls cudnnCreate/Set(4d)/Destroy for TensorDescriptor, FilterDescriptor and ConvolutionDescriptor (2d, group
 * count, math type), cudnnGetConvolution{Forward, BackwardData, BackwardFilter}WorkspaceSize and
 * cudnnConvolution{Forward, BackwardData, BackwardFilter}.
 *
 * <p>Why these descriptors: NHWC tensors with an NHWC filter are supported for float32 and bf16 tensors with float32
 * sums ("FLOAT_CONFIG", "PSEUDO_BFLOAT16_CONFIG") by forward algorithms 0 and 1 and backward algorithms 0 and 1; x, y
 * and filter have one type, so a bf16 weight gradient comes out in bf16 and is added to the pack by a kernel. With
 * CUDNN_DEFAULT_MATH float32 convolutions may use TF32 from compute capability 8.0 on, so {@link Precision#FP32} asks
 * for CUDNN_FMA_MATH. A tensor may have at most 2³¹ − 1 elements: {@link Convolutions} cuts the samples.
 */
final class ClassicConvolution implements ConvolutionMethod {
    private static final String PREFIX = "classic";
    private static final Pointer ZERO = Pointer.to(new float[] {0});
    private static final Pointer ONE = Pointer.to(new float[] {1});

    private final ConvolutionProblem problem;
    private final int algorithm;
    private final Descriptors descriptors;
    private final Epilogue epilogue;
    private final long libraryBytes;

    private ClassicConvolution(
            ConvolutionProblem problem, int algorithm, Descriptors descriptors, Grids grids, long libraryBytes) {
        this.problem = problem;
        this.algorithm = algorithm;
        this.descriptors = descriptors;
        this.epilogue = new Epilogue(problem, grids);
        this.libraryBytes = libraryBytes;
    }

    /** cuDNN's algorithms for a direction, those first that are usually right where nothing can be measured. */
    private static int[] algorithms(Direction direction) {
        return switch (direction) {
            case FORWARD ->
                new int[] {
                    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
                    7,
                    6,
                    5,
                    4,
                    2,
                    3
                };
            case INPUT_GRADIENT ->
                new int[] {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, 5, 4, 3, 2};
            case WEIGHT_GRADIENT ->
                new int[] {
                    CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
                    CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
                    CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
                    5,
                    4,
                    6,
                    2
                };
        };
    }

    /** All algorithms that support a problem. */
    static List<ConvolutionMethod> candidates(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        CudaScope unfinished = new CudaScope();
        List<ConvolutionMethod> candidates = new ArrayList<>();
        try {
            for (int algorithm : algorithms(problem.direction())) {
                ConvolutionMethod method = create(cudnn, problem, grids, algorithm);
                if (method != null) {
                    candidates.add(unfinished.own(method));
                }
            }
        } catch (CudaException e) {
            throw unfinished.closeAfter(e);
        }
        return candidates;
    }

    /** The method of a name, or null if there is none that supports the problem. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        for (int algorithm : algorithms(problem.direction())) {
            if (name.equals(PREFIX + algorithm)) {
                return create(cudnn, problem, grids, algorithm);
            }
        }
        return null;
    }

    private static @Nullable ConvolutionMethod create(
            CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, int algorithm) {
        Descriptors descriptors = new Descriptors(problem);
        long[] bytes = new long[1];
        if (!succeeds(() -> descriptors.workspaceSize(cudnn, algorithm, bytes))) {
            descriptors.close();
            return null;
        }
        return new ClassicConvolution(problem, algorithm, descriptors, grids, bytes[0]);
    }

    /** JCuda throws where exceptions are enabled, and returns the status where they are not. */
    private static boolean succeeds(IntSupplier call) {
        try {
            return call.getAsInt() == 0;
        } catch (jcuda.CudaException e) {
            return false;
        }
    }

    @Override
    public String name() {
        return PREFIX + algorithm;
    }

    @Override
    public long workspaceBytes() {
        return libraryBytes;
    }

    /** By the descriptions of the enumerations: these three add with atomics. */
    @Override
    public boolean deterministic() {
        return switch (problem.direction()) {
            case FORWARD -> true;
            case INPUT_GRADIENT -> algorithm != CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
            case WEIGHT_GRADIENT ->
                algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 && algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3;
        };
    }

    @Override
    public boolean narrow() {
        return problem.narrow();
    }

    @Override
    public Launch bind(Kernels kernels, Operands operands) {
        Pointer first = DevicePointer.at(operands.first());
        Pointer second = DevicePointer.at(operands.second());
        Pointer workspace = DevicePointer.at(operands.workspace());
        return switch (problem.direction()) {
            case FORWARD, INPUT_GRADIENT -> {
                // cuDNN adds beta times what lies at the result.
                boolean added = problem.addend() && operands.addend() == operands.result();
                Pointer result = DevicePointer.at(operands.result());
                Launch after = epilogue.bind(kernels, operands, added);
                yield lane -> {
                    descriptors.activations(
                            lane.cudnn(), algorithm, first, second, workspace, libraryBytes, added, result);
                    after.enqueue(lane);
                };
            }
            case WEIGHT_GRADIENT -> {
                Pointer result = DevicePointer.at(operands.result());
                yield lane -> descriptors.weightGradient(
                        lane.cudnn(), algorithm, first, second, workspace, libraryBytes, !narrow(), result);
            }
        };
    }

    @Override
    public void close() {
        descriptors.close();
    }

    /** What cuDNN is told about x, weight, y and the window. */
    private static final class Descriptors implements AutoCloseable {
        private final Direction direction;
        private final cudnnTensorDescriptor x = new cudnnTensorDescriptor();
        private final cudnnFilterDescriptor weight = new cudnnFilterDescriptor();
        private final cudnnTensorDescriptor y = new cudnnTensorDescriptor();
        private final cudnnConvolutionDescriptor window = new cudnnConvolutionDescriptor();
        private final CudaScope scope = new CudaScope();

        Descriptors(ConvolutionProblem p) {
            direction = p.direction();
            try {
                CudaCalls.run(() -> "describe the convolution " + p.key() + " to cuDNN", () -> describe(p));
            } catch (CudaException e) {
                throw scope.closeAfter(e);
            }
        }

        private void describe(ConvolutionProblem p) {
            int type = p.precision() == Precision.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
            cudnnCreateTensorDescriptor(x);
            scope.onClose(() -> cudnnDestroyTensorDescriptor(x));
            cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, type, p.samples(), p.channels(), p.height(), p.width());
            cudnnCreateTensorDescriptor(y);
            scope.onClose(() -> cudnnDestroyTensorDescriptor(y));
            cudnnSetTensor4dDescriptor(
                    y, CUDNN_TENSOR_NHWC, type, p.samples(), p.filters(), p.outHeight(), p.outWidth());
            cudnnCreateFilterDescriptor(weight);
            scope.onClose(() -> cudnnDestroyFilterDescriptor(weight));
            cudnnSetFilter4dDescriptor(
                    weight,
                    type,
                    CUDNN_TENSOR_NHWC,
                    p.filters(),
                    p.channels() / p.groups(),
                    p.kernelHeight(),
                    p.kernelWidth());
            cudnnCreateConvolutionDescriptor(window);
            scope.onClose(() -> cudnnDestroyConvolutionDescriptor(window));
            cudnnSetConvolution2dDescriptor(
                    window,
                    p.padHeight(),
                    p.padWidth(),
                    p.strideHeight(),
                    p.strideWidth(),
                    1,
                    1,
                    CUDNN_CROSS_CORRELATION,
                    CUDNN_DATA_FLOAT);
            cudnnSetConvolutionGroupCount(window, p.groups());
            cudnnSetConvolutionMathType(window, mathType(p.precision()));
        }

        private static int mathType(Precision precision) {
            return switch (precision) {
                case FP32 -> CUDNN_FMA_MATH;
                case TF32 -> CUDNN_DEFAULT_MATH;
                case BF16 -> CUDNN_TENSOR_OP_MATH;
            };
        }

        int workspaceSize(CudnnHandle cudnn, int algorithm, long[] bytes) {
            return switch (direction) {
                case FORWARD -> cudnnGetConvolutionForwardWorkspaceSize(cudnn, x, weight, window, y, algorithm, bytes);
                case INPUT_GRADIENT ->
                    cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn, weight, y, window, x, algorithm, bytes);
                case WEIGHT_GRADIENT ->
                    cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn, x, y, window, weight, algorithm, bytes);
            };
        }

        /** y, or dx. */
        void activations(
                CudnnHandle cudnn,
                int algorithm,
                Pointer first,
                Pointer filter,
                Pointer workspace,
                long bytes,
                boolean added,
                Pointer result) {
            Pointer beta = added ? ONE : ZERO;
            if (direction == Direction.FORWARD) {
                cudnnConvolutionForward(
                        cudnn, ONE, x, first, weight, filter, window, algorithm, workspace, bytes, beta, y, result);
            } else {
                cudnnConvolutionBackwardData(
                        cudnn, ONE, weight, filter, y, first, window, algorithm, workspace, bytes, beta, x, result);
            }
        }

        void weightGradient(
                CudnnHandle cudnn,
                int algorithm,
                Pointer input,
                Pointer outputGradient,
                Pointer workspace,
                long bytes,
                boolean adds,
                Pointer gradient) {
            cudnnConvolutionBackwardFilter(
                    cudnn,
                    ONE,
                    x,
                    input,
                    y,
                    outputGradient,
                    window,
                    algorithm,
                    workspace,
                    bytes,
                    adds ? ONE : ZERO,
                    weight,
                    gradient);
        }

        @Override
        public void close() {
            scope.close();
        }
    }
}
