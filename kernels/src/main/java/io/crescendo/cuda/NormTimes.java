package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationBackward;
import static jcuda.jcudnn.JCudnn.cudnnBatchNormalizationForwardTraining;
import static jcuda.jcudnn.JCudnn.cudnnCreateTensorDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnDestroyTensorDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnSetTensor4dDescriptor;
import static jcuda.jcudnn.cudnnBatchNormMode.CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_BFLOAT16;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_FLOAT;
import static jcuda.jcudnn.cudnnTensorFormat.CUDNN_TENSOR_NHWC;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.KernelTimes.Times;
import jcuda.Pointer;
import jcuda.jcudnn.cudnnTensorDescriptor;

/**
 * Times ghost batch norm at any ghost size, and cuDNN's batch norm over the whole batch beside it.
 *
 * <p>Bytes are the floor, whatever really moves: forward x and y once, backward x, dy and dx once.
 */
public final class NormTimes {
    private static final double EPSILON = 1e-5;

    private final KernelTimes times;
    private final CudaBackend backend;
    private final CudaDevice device;
    private final Precision precision;

    NormTimes(KernelTimes times) {
        this.times = times;
        this.backend = times.backend();
        this.device = backend.device();
        this.precision = times.precision();
    }

    /**
     * An activation to normalise.
     *
     * @param samples N
     * @param channels C
     * @param side H and W
     */
    public record Activation(int samples, int channels, int side) {
        long elements() {
            return (long) samples * channels * side * side;
        }
    }

    /** Statistics and normalised values of all groups. */
    public Times ghostForward(Activation x, int ghostBatch) {
        try (Normed n = new Normed(x, ghostBatch)) {
            Kernels.Call statistics = n.statistics();
            Kernels.Call apply = n.call(
                    "ghost_norm_apply",
                    n.x,
                    n.scale,
                    n.shift,
                    n.mean,
                    n.variance,
                    n.y,
                    0L,
                    n.runningMean,
                    n.runningVariance,
                    x.samples,
                    x.channels,
                    x.side * x.side,
                    n.ghostBatch,
                    n.splits,
                    (float) EPSILON,
                    0.1f,
                    0);
            return times.time(2L * n.elementBytes * x.elements(), () -> {
                statistics.enqueue(device.stream());
                apply.enqueue(device.stream());
            });
        }
    }

    /** Both launches of the gradient. */
    public Times ghostBackward(Activation x, int ghostBatch) {
        try (Normed n = new Normed(x, ghostBatch)) {
            Kernels.Call sums = n.call(
                    "ghost_norm_gradient_sums",
                    n.x,
                    n.y,
                    n.mean,
                    n.variance,
                    0L,
                    n.sums,
                    n.partials,
                    backend.tickets(),
                    x.samples,
                    x.channels,
                    x.side * x.side,
                    n.ghostBatch,
                    n.splits,
                    (float) EPSILON);
            Kernels.Call gradient = n.call(
                    "ghost_norm_gradient",
                    n.x,
                    n.y,
                    n.scale,
                    n.mean,
                    n.variance,
                    0L,
                    n.sums,
                    n.dx,
                    0L,
                    n.dscale,
                    n.dshift,
                    x.samples,
                    x.channels,
                    x.side * x.side,
                    n.ghostBatch,
                    n.splits,
                    (float) EPSILON);
            return times.time(3L * n.elementBytes * x.elements(), () -> {
                sums.enqueue(device.stream());
                gradient.enqueue(device.stream());
            });
        }
    }

    /** cuDNN's batch norm over all samples. */
    public Times plainForward(Activation x) {
        try (Normed n = new Normed(x, x.samples);
                Descriptors d = new Descriptors(x)) {
            return times.time(
                    2L * n.elementBytes * x.elements(),
                    () -> cudnnBatchNormalizationForwardTraining(
                            device.cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            d.one,
                            d.zero,
                            d.activation,
                            DevicePointer.at(n.x),
                            d.activation,
                            DevicePointer.at(n.y),
                            d.channels,
                            DevicePointer.at(n.scale),
                            DevicePointer.at(n.shift),
                            0.1,
                            DevicePointer.at(n.runningMean),
                            DevicePointer.at(n.runningVariance),
                            EPSILON,
                            DevicePointer.at(n.mean),
                            DevicePointer.at(n.variance)));
        }
    }

    /** cuDNN's gradient of it. */
    public Times plainBackward(Activation x) {
        try (Normed n = new Normed(x, x.samples);
                Descriptors d = new Descriptors(x)) {
            return times.time(
                    3L * n.elementBytes * x.elements(),
                    () -> cudnnBatchNormalizationBackward(
                            device.cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            d.one,
                            d.zero,
                            d.one,
                            d.zero,
                            d.activation,
                            DevicePointer.at(n.x),
                            d.activation,
                            DevicePointer.at(n.y),
                            d.activation,
                            DevicePointer.at(n.dx),
                            d.channels,
                            DevicePointer.at(n.scale),
                            DevicePointer.at(n.dscale),
                            DevicePointer.at(n.dshift),
                            EPSILON,
                            DevicePointer.at(n.mean),
                            DevicePointer.at(n.variance)));
        }
    }

    /** The buffers of a normalisation. */
    private final class Normed implements AutoCloseable {
        final CudaScope memory = device.newScope();
        final int elementBytes = backend.elementBytes();
        final Grids grids = new Grids(device.multiprocessors(), elementBytes);
        final Activation shape;
        final int ghostBatch;
        final int groups;
        final int splits;
        final long x;
        final long y;
        final long dx;
        final long scale;
        final long shift;
        final long dscale;
        final long dshift;
        final long runningMean;
        final long runningVariance;
        final long mean;
        final long variance;
        final long sums;
        final long partials;

        Normed(Activation shape, int ghostBatch) {
            this.shape = shape;
            this.ghostBatch = Math.min(ghostBatch, shape.samples);
            this.groups = (shape.samples + this.ghostBatch - 1) / this.ghostBatch;
            this.splits = grids.splits((long) this.ghostBatch * shape.side * shape.side, shape.channels, groups, 4, 3);
            x = buffer(elementBytes * shape.elements());
            y = buffer(elementBytes * shape.elements());
            dx = buffer(elementBytes * shape.elements());
            scale = buffer(perChannel());
            shift = buffer(perChannel());
            dscale = buffer(perChannel());
            dshift = buffer(perChannel());
            runningMean = buffer(perChannel());
            runningVariance = buffer(perChannel());
            mean = buffer(groups * perChannel());
            variance = buffer(groups * perChannel());
            sums = buffer(2L * groups * perChannel());
            partials = buffer(2L * groups * splits * perChannel());
        }

        private long perChannel() {
            return (long) Float.BYTES * shape.channels;
        }

        private long buffer(long bytes) {
            return times.zeroed(memory, bytes).address();
        }

        Kernels.Call call(String kernel, Object... arguments) {
            int blocks = Math.multiplyExact(groups, splits);
            return device.kernels().call(times.named(kernel), blocks, grids.slabs(shape.channels), arguments);
        }

        Kernels.Call statistics() {
            return call(
                    "ghost_norm_statistics",
                    x,
                    mean,
                    variance,
                    partials,
                    backend.tickets(),
                    shape.samples,
                    shape.channels,
                    shape.side * shape.side,
                    ghostBatch,
                    splits);
        }

        @Override
        public void close() {
            device.await();
            memory.close();
        }
    }

    /** What cuDNN wants to be told of an activation. */
    private final class Descriptors implements AutoCloseable {
        final cudnnTensorDescriptor activation = new cudnnTensorDescriptor();
        final cudnnTensorDescriptor channels = new cudnnTensorDescriptor();
        final Pointer one = Pointer.to(new float[] {1});
        final Pointer zero = Pointer.to(new float[] {0});

        Descriptors(Activation x) {
            cudnnCreateTensorDescriptor(activation);
            cudnnCreateTensorDescriptor(channels);
            int type = precision == Precision.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
            cudnnSetTensor4dDescriptor(activation, CUDNN_TENSOR_NHWC, type, x.samples, x.channels, x.side, x.side);
            cudnnSetTensor4dDescriptor(channels, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, x.channels, 1, 1);
        }

        @Override
        public void close() {
            cudnnDestroyTensorDescriptor(channels);
            cudnnDestroyTensorDescriptor(activation);
        }
    }
}
