package io.crescendo.cuda;

import static jcuda.jcudnn.cudnnBackendAttributeName.*;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_CONVOLUTION_MODE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_DATA_TYPE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_NAN_PROPOGATION;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_POINTWISE_MODE;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_TENSOR_DESCRIPTOR;
import static jcuda.jcudnn.cudnnConvolutionMode.CUDNN_CROSS_CORRELATION;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_BFLOAT16;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_FLOAT;
import static jcuda.jcudnn.cudnnNanPropagation.CUDNN_PROPAGATE_NAN;
import static jcuda.jcudnn.cudnnPointwiseMode.CUDNN_POINTWISE_ADD;
import static jcuda.jcudnn.cudnnPointwiseMode.CUDNN_POINTWISE_RELU_FWD;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.List;

/**
 * A {@link ConvolutionProblem} as an operation graph of cuDNN.
 *
 * <p>Extents are given in the order (N, C, H, W) or (K, C, R, S) whatever the layout; strides say that channels lie
 * next to each other. Sums and what passes between two operations are float32.
 */
final class ConvolutionGraph {
    /** Numbers of the tensors that are handed in: x (or dy), the weight (or dy), the result, the bias. */
    static final long FIRST = 1;

    static final long SECOND = 2;
    static final long RESULT = 3;
    static final long BIAS = 4;

    private static final long FIRST_BETWEEN = 10;
    /** What tensor cores' loads want; every arena value and slice of a pack has it. */
    private static final long ALIGNMENT_BYTES = 16;

    private final ConvolutionProblem p;
    private final CudaScope scope;
    private final List<GraphDescriptor> operations = new ArrayList<>();
    private long between = FIRST_BETWEEN;

    private ConvolutionGraph(ConvolutionProblem problem, CudaScope scope) {
        this.p = problem;
        this.scope = scope;
    }

    /**
     * Whether bias and ReLU are part of the graph. With an addend the convolution stays alone, for only then it adds to
     * what lies at the result, and bias and ReLU are left to the caller.
     */
    static boolean fuses(ConvolutionProblem problem) {
        return !problem.addend() && (problem.bias() || problem.relu());
    }

    /** Whether the graph adds to what lies at the result. A narrow weight gradient does not. */
    static boolean accumulates(ConvolutionProblem problem) {
        return problem.addend() || (problem.direction() == Direction.WEIGHT_GRADIENT && !problem.narrow());
    }

    /** Builds and finishes the graph; the scope closes it and its parts. */
    static GraphDescriptor build(CudnnHandle cudnn, ConvolutionProblem problem, CudaScope scope) {
        List<GraphDescriptor> operations = operations(problem, scope);
        GraphDescriptor graph = own(scope, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
        return graph.with(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, cudnn)
                .with(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations)
                .finish();
    }

    /** The operations alone: this part needs no device. */
    static List<GraphDescriptor> operations(ConvolutionProblem problem, CudaScope scope) {
        ConvolutionGraph graph = new ConvolutionGraph(problem, scope);
        switch (problem.direction()) {
            case FORWARD -> graph.forward();
            case INPUT_GRADIENT -> graph.inputGradient();
            case WEIGHT_GRADIENT -> graph.weightGradient();
        }
        return graph.operations;
    }

    private static GraphDescriptor own(CudaScope scope, int type) {
        GraphDescriptor descriptor = GraphDescriptor.create(type);
        scope.onClose(descriptor::close);
        return descriptor;
    }

    private int activationType() {
        return p.precision() == Precision.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    }

    private float beta() {
        return accumulates(p) ? 1f : 0f;
    }

    private void forward() {
        boolean fused = fuses(p);
        GraphDescriptor y = fused ? output(between++, CUDNN_DATA_FLOAT, true) : output(RESULT, activationType(), false);
        operations.add(own(scope, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, input(FIRST))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight(SECOND, activationType()))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y)
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, window())
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1f)
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, beta())
                .finish());
        if (fused && p.bias()) {
            GraphDescriptor sum =
                    p.relu() ? output(between++, CUDNN_DATA_FLOAT, true) : output(RESULT, activationType(), false);
            GraphDescriptor bias = tensor(BIAS, CUDNN_DATA_FLOAT, false, 1, p.filters(), 1, 1);
            operations.add(pointwise(CUDNN_POINTWISE_ADD, y, sum)
                    .with(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias)
                    .finish());
            y = sum;
        }
        if (fused && p.relu()) {
            operations.add(pointwise(CUDNN_POINTWISE_RELU_FWD, y, output(RESULT, activationType(), false))
                    .finish());
        }
    }

    private void inputGradient() {
        operations.add(own(scope, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, output(FIRST, activationType(), false))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, weight(SECOND, activationType()))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, input(RESULT))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, window())
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1f)
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, beta())
                .finish());
    }

    private void weightGradient() {
        operations.add(own(scope, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, input(FIRST))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, output(SECOND, activationType(), false))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, weight(RESULT, activationType()))
                .with(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, window())
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1f)
                .withFloat(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, beta())
                .finish());
    }

    private GraphDescriptor pointwise(int mode, GraphDescriptor x, GraphDescriptor y) {
        GraphDescriptor what = own(scope, CUDNN_BACKEND_POINTWISE_DESCRIPTOR)
                .withEnum(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
                .withEnum(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                // As our own kernels: a network that has diverged must not look sound behind a ReLU.
                .withEnum(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, CUDNN_PROPAGATE_NAN)
                .finish();
        return own(scope, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
                .with(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
                .with(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
                .with(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    }

    private GraphDescriptor window() {
        return own(scope, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
                .withEnum(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                .withEnum(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
                .withLongs(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2)
                .withLongs(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, p.padHeight(), p.padWidth())
                .withLongs(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, p.padHeight(), p.padWidth())
                .withLongs(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1, 1)
                .withLongs(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, p.strideHeight(), p.strideWidth())
                .finish();
    }

    /** x or dx. */
    private GraphDescriptor input(long number) {
        return tensor(number, activationType(), false, p.samples(), p.channels(), p.height(), p.width());
    }

    /** y or dy, or what has y's extents and stays between two operations. */
    private GraphDescriptor output(long number, int type, boolean virtual) {
        return tensor(number, type, virtual, p.samples(), p.filters(), p.outHeight(), p.outWidth());
    }

    private GraphDescriptor weight(long number, int type) {
        return tensor(number, type, false, p.filters(), p.channels(), p.kernelHeight(), p.kernelWidth());
    }

    private GraphDescriptor tensor(
            long number, int type, boolean virtual, long outer, long channels, long height, long width) {
        return own(scope, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
                .withLongs(CUDNN_ATTR_TENSOR_UNIQUE_ID, number)
                .withEnum(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
                .withLongs(CUDNN_ATTR_TENSOR_DIMENSIONS, outer, channels, height, width)
                .withLongs(CUDNN_ATTR_TENSOR_STRIDES, height * width * channels, 1, width * channels, channels)
                .withLongs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT_BYTES)
                .withFlag(CUDNN_ATTR_TENSOR_IS_VIRTUAL, virtual)
                .finish();
    }
}
