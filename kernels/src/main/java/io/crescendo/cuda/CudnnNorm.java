package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationBackward;
import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationBackwardEx;
import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationForwardTraining;
import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationForwardTrainingEx;
import static jcuda.jcudnn.JCudnn.cudnnCreateActivationDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnCreateTensorDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnDestroyActivationDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnDestroyTensorDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnGetBatchNormalizationBackwardExWorkspaceSize;
import static jcuda.jcudnn.JCudnn.cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize;
import static jcuda.jcudnn.JCudnn.cudnnGetBatchNormalizationTrainingExReserveSpaceSize;
import static jcuda.jcudnn.JCudnn.cudnnSetActivationDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnSetTensor4dDescriptor;
import static jcuda.jcudnn.cudnnActivationMode.CUDNN_ACTIVATION_RELU;
import static jcuda.jcudnn.cudnnBatchNormMode.CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
import static jcuda.jcudnn.cudnnBatchNormOps.CUDNN_BATCHNORM_OPS_BN;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_BFLOAT16;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_FLOAT;
import static jcuda.jcudnn.cudnnNanPropagation.CUDNN_NOT_PROPAGATE_NAN;
import static jcuda.jcudnn.cudnnTensorFormat.CUDNN_TENSOR_NHWC;

import io.crescendo.backend.Precision;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.jcudnn.cudnnActivationDescriptor;
import jcuda.jcudnn.cudnnHandle;
import jcuda.jcudnn.cudnnTensorDescriptor;

/**
 * cuDNN's batch norm over a whole batch, which ghost batch norm is timed beside: the classic functions, and the
 * extended ones, which are other kernels. All of it ends with the memory of what is normalised.
 */
final class CudnnNorm {
    private final NormTimes.Normed n;
    private final CudaDevice device;
    private final cudnnHandle handle;
    private final cudnnTensorDescriptor activation = new cudnnTensorDescriptor();
    private final cudnnTensorDescriptor channels = new cudnnTensorDescriptor();
    /** JCuda takes no null for what a norm alone does not use, and cuDNN does not look at it. */
    private final cudnnActivationDescriptor unused = new cudnnActivationDescriptor();

    private final Pointer one = Pointer.to(new float[] {1});
    private final Pointer zero = Pointer.to(new float[] {0});
    /** Of the extended functions; without bytes until they are asked for. */
    private DeviceBlock workspace = DeviceBlock.allocate("batch norm's workspace", 0);

    private DeviceBlock reserve = DeviceBlock.allocate("what batch norm keeps for its gradient", 0);

    CudnnNorm(NormTimes.Normed n, CudaDevice device, Precision precision) {
        this.n = n;
        this.device = device;
        this.handle = device.lane().cudnn();
        cudnnCreateTensorDescriptor(activation);
        n.memory.onClose(() -> cudnnDestroyTensorDescriptor(activation));
        cudnnCreateTensorDescriptor(channels);
        n.memory.onClose(() -> cudnnDestroyTensorDescriptor(channels));
        cudnnCreateActivationDescriptor(unused);
        n.memory.onClose(() -> cudnnDestroyActivationDescriptor(unused));
        NormTimes.Activation x = n.shape;
        int type = precision == Precision.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
        cudnnSetTensor4dDescriptor(activation, CUDNN_TENSOR_NHWC, type, x.samples(), x.channels(), x.side(), x.side());
        cudnnSetTensor4dDescriptor(channels, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, x.channels(), 1, 1);
        cudnnSetActivationDescriptor(unused, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0);
    }

    void forward() {
        cudnnBatchNormalizationForwardTraining(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                one,
                zero,
                activation,
                DevicePointer.at(n.x),
                activation,
                DevicePointer.at(n.y),
                channels,
                DevicePointer.at(n.scale),
                DevicePointer.at(n.shift),
                NormTimes.MOMENTUM,
                DevicePointer.at(n.runningMean),
                DevicePointer.at(n.runningVariance),
                NormTimes.EPSILON,
                DevicePointer.at(n.mean),
                DevicePointer.at(n.variance));
    }

    void backward() {
        cudnnBatchNormalizationBackward(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                one,
                zero,
                one,
                zero,
                activation,
                DevicePointer.at(n.x),
                activation,
                DevicePointer.at(n.dy),
                activation,
                DevicePointer.at(n.dx),
                channels,
                DevicePointer.at(n.scale),
                DevicePointer.at(n.dscale),
                DevicePointer.at(n.dshift),
                NormTimes.EPSILON,
                DevicePointer.at(n.mean),
                DevicePointer.at(n.variance));
    }

    /** Whether cuDNN takes an extended call for these activations; if so it has run once. */
    boolean offers(Runnable extended) {
        try {
            if (workspace.bytes() == 0) {
                allocate();
            }
            extended.run();
            return true;
        } catch (jcuda.CudaException e) {
            if (CudaCalls.name(e).contains("NOT_SUPPORTED")) {
                return false;
            }
            throw device.health().note(CudaCalls.failure("run cuDNN's batch norm", e));
        }
    }

    private void allocate() {
        long backward = size(bytes -> cudnnGetBatchNormalizationBackwardExWorkspaceSize(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                CUDNN_BATCHNORM_OPS_BN,
                activation,
                activation,
                activation,
                activation,
                activation,
                channels,
                unused,
                bytes));
        long forward = size(bytes -> cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                CUDNN_BATCHNORM_OPS_BN,
                activation,
                activation,
                activation,
                channels,
                unused,
                bytes));
        long reserved = size(bytes -> cudnnGetBatchNormalizationTrainingExReserveSpaceSize(
                handle, CUDNN_BATCHNORM_SPATIAL_PERSISTENT, CUDNN_BATCHNORM_OPS_BN, unused, activation, bytes));
        workspace = n.memory.own(DeviceBlock.allocate("batch norm's workspace", Math.max(forward, backward)));
        reserve = n.memory.own(DeviceBlock.allocate("what batch norm keeps for its gradient", reserved));
    }

    /** What one of cuDNN's questions answers, but at least a page, so that there is an address. */
    private static long size(Consumer<long[]> question) {
        long[] bytes = new long[1];
        question.accept(bytes);
        return Math.max(4096, bytes[0]);
    }

    void extendedForward() {
        cudnnBatchNormalizationForwardTrainingEx(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                CUDNN_BATCHNORM_OPS_BN,
                one,
                zero,
                activation,
                DevicePointer.at(n.x),
                activation,
                DevicePointer.at(n.x), // not looked at, like the activation
                activation,
                DevicePointer.at(n.y),
                channels,
                DevicePointer.at(n.scale),
                DevicePointer.at(n.shift),
                NormTimes.MOMENTUM,
                DevicePointer.at(n.runningMean),
                DevicePointer.at(n.runningVariance),
                NormTimes.EPSILON,
                DevicePointer.at(n.mean),
                DevicePointer.at(n.variance),
                unused,
                workspace.pointer(),
                workspace.bytes(),
                reserve.pointer(),
                reserve.bytes());
    }

    void extendedBackward() {
        cudnnBatchNormalizationBackwardEx(
                handle,
                CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                CUDNN_BATCHNORM_OPS_BN,
                one,
                zero,
                one,
                zero,
                activation,
                DevicePointer.at(n.x),
                activation,
                DevicePointer.at(n.y),
                activation,
                DevicePointer.at(n.dy),
                activation,
                DevicePointer.at(n.dx), // not looked at, like the activation
                activation,
                DevicePointer.at(n.dx),
                channels,
                DevicePointer.at(n.scale),
                DevicePointer.at(n.shift),
                DevicePointer.at(n.dscale),
                DevicePointer.at(n.dshift),
                NormTimes.EPSILON,
                DevicePointer.at(n.mean),
                DevicePointer.at(n.variance),
                unused,
                workspace.pointer(),
                workspace.bytes(),
                reserve.pointer(),
                reserve.bytes());
    }
}
