package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;
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
import static jcuda.jcudnn.cudnnBatchNormOps.CUDNN_BATCHNORM_OPS_BN_ACTIVATION;
import static jcuda.jcudnn.cudnnBatchNormOps.CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_BFLOAT16;
import static jcuda.jcudnn.cudnnDataType.CUDNN_DATA_FLOAT;
import static jcuda.jcudnn.cudnnNanPropagation.CUDNN_NOT_PROPAGATE_NAN;
import static jcuda.jcudnn.cudnnTensorFormat.CUDNN_TENSOR_NHWC;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.KernelTimes.Time;
import io.crescendo.cuda.KernelTimes.Times;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.jcudnn.cudnnActivationDescriptor;
import jcuda.jcudnn.cudnnTensorDescriptor;

/**
 * Times ghost batch norm at any ghost size, and cuDNN's batch norm over the whole batch beside it.
 *
 * <p>Bytes are the floor, whatever really moves: forward x and y once, backward x, dy and dx once, the addend or its
 * gradient once, and the mask of a ReLU. Activations and parameters are normally distributed numbers: zeros can make a
 * device faster than real data does.
 */
public final class NormTimes {
    private static final double EPSILON = 1e-5;
    private static final double MOMENTUM = 0.1;

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

    /** What is done in the same pass as the normalisation. */
    public enum Form {
        /** Nothing. */
        PLAIN(CUDNN_BATCHNORM_OPS_BN),
        /** A ReLU, whose gradient reads a mask. */
        RELU(CUDNN_BATCHNORM_OPS_BN_ACTIVATION),
        /** A residual is added, then the ReLU. */
        ADD_RELU(CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION);

        private final int operations;

        Form(int operations) {
            this.operations = operations;
        }

        boolean rectified() {
            return this != PLAIN;
        }

        boolean added() {
            return this == ADD_RELU;
        }
    }

    /** Statistics and normalised values of all groups. */
    public Times ghostForward(Activation x, int ghostBatch) {
        return ghostForward(x, ghostBatch, Form.PLAIN);
    }

    /** The same with what belongs to the form. */
    public Times ghostForward(Activation x, int ghostBatch, Form form) {
        try (Normed n = new Normed(x, ghostBatch, form)) {
            Kernels.Call forward = n.forward();
            return times.time(n.floorBytes(2), () -> forward.enqueue(device.stream()));
        }
    }

    /** Gradients by activations, scale and shift. */
    public Times ghostBackward(Activation x, int ghostBatch) {
        return ghostBackward(x, ghostBatch, Form.PLAIN);
    }

    /** The same with what belongs to the form. */
    public Times ghostBackward(Activation x, int ghostBatch, Form form) {
        try (Normed n = new Normed(x, ghostBatch, form)) {
            n.forward().enqueue(device.stream()); // statistics and mask: gradients of what was computed
            Kernels.Call backward = n.backward();
            return times.time(n.floorBytes(3), () -> backward.enqueue(device.stream()));
        }
    }

    /** cuDNN's batch norm over all samples: the faster of its two functions for that. */
    public Times plainForward(Activation x) {
        Times classic = classicForward(x);
        return plainForward(x, Form.PLAIN)
                .map(extended -> faster(classic, extended))
                .orElse(classic);
    }

    /** cuDNN's gradient of it, likewise. */
    public Times plainBackward(Activation x) {
        Times classic = classicBackward(x);
        return plainBackward(x, Form.PLAIN)
                .map(extended -> faster(classic, extended))
                .orElse(classic);
    }

    /** cuDNN's batch norm with what belongs to the form; nothing if it does not offer that for these activations. */
    public Optional<Times> plainForward(Activation x, Form form) {
        try (Normed n = new Normed(x, x.samples, form);
                Extended e = new Extended(n)) {
            return e.offered(e::forward) ? Optional.of(times.time(n.floorBytes(2), e::forward)) : Optional.empty();
        }
    }

    /** Its gradient. */
    public Optional<Times> plainBackward(Activation x, Form form) {
        try (Normed n = new Normed(x, x.samples, form);
                Extended e = new Extended(n)) {
            return e.offered(e::forward) && e.offered(e::backward)
                    ? Optional.of(times.time(n.floorBytes(3), e::backward))
                    : Optional.empty();
        }
    }

    private static Times faster(Times one, Times other) {
        return new Times(faster(one.cold(), other.cold()), faster(one.warm(), other.warm()));
    }

    private static Time faster(Time one, Time other) {
        return one.seconds() <= other.seconds() ? one : other;
    }

    private Times classicForward(Activation x) {
        try (Normed n = new Normed(x, x.samples, Form.PLAIN);
                Descriptors d = new Descriptors(x)) {
            return times.time(n.floorBytes(2), () -> classicForward(n, d));
        }
    }

    private void classicForward(Normed n, Descriptors d) {
        cudnnBatchNormalizationForwardTraining(
                device.lane().cudnn(),
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
                MOMENTUM,
                DevicePointer.at(n.runningMean),
                DevicePointer.at(n.runningVariance),
                EPSILON,
                DevicePointer.at(n.mean),
                DevicePointer.at(n.variance));
    }

    private Times classicBackward(Activation x) {
        try (Normed n = new Normed(x, x.samples, Form.PLAIN);
                Descriptors d = new Descriptors(x)) {
            classicForward(n, d);
            return times.time(
                    n.floorBytes(3),
                    () -> cudnnBatchNormalizationBackward(
                            device.lane().cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            d.one,
                            d.zero,
                            d.one,
                            d.zero,
                            d.activation,
                            DevicePointer.at(n.x),
                            d.activation,
                            DevicePointer.at(n.dy),
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

    /** The buffers of a normalisation, and its launch each way. */
    private final class Normed implements AutoCloseable {
        final CudaScope memory = device.newScope();
        final int elementBytes = backend.elementBytes();
        final Grids grids = device.grids(elementBytes);
        final Activation shape;
        final Form form;
        final int plane;
        final int ghostBatch;
        final int groups;
        final long x;
        final long y;
        final long dy;
        final long dx;
        final long addend;
        final long daddend;
        final long mask;
        final long scale;
        final long shift;
        final long dscale;
        final long dshift;
        final long runningMean;
        final long runningVariance;
        final long mean;
        final long variance;
        final long sums;

        Normed(Activation shape, int ghostBatch, Form form) {
            this.shape = shape;
            this.form = form;
            this.plane = shape.side * shape.side;
            this.ghostBatch = Math.min(ghostBatch, shape.samples);
            this.groups = (shape.samples + this.ghostBatch - 1) / this.ghostBatch;
            boolean narrow = precision == Precision.BF16;
            x = normal(1, elementBytes * shape.elements(), narrow);
            y = zeroed(elementBytes * shape.elements());
            dy = normal(2, elementBytes * shape.elements(), narrow);
            dx = zeroed(elementBytes * shape.elements());
            addend = form.added() ? normal(3, elementBytes * shape.elements(), narrow) : 0;
            daddend = form.added() ? zeroed(elementBytes * shape.elements()) : 0;
            mask = form.rectified() ? zeroed(maskBytes()) : 0;
            scale = normal(4, perChannel(), false);
            shift = normal(5, perChannel(), false);
            dscale = zeroed(perChannel());
            dshift = zeroed(perChannel());
            runningMean = zeroed(perChannel());
            runningVariance = zeroed(perChannel());
            mean = zeroed(groups * perChannel());
            variance = zeroed(groups * perChannel());
            sums = zeroed(2L * groups * perChannel());
        }

        private long perChannel() {
            return (long) Float.BYTES * shape.channels;
        }

        private long maskBytes() {
            return (long) shape.samples * plane * grids.packsOf(shape.channels);
        }

        /** Bytes of so many activations, and of what belongs to the form. */
        long floorBytes(int activations) {
            long all = activations + (form.added() ? 1L : 0L);
            return all * elementBytes * shape.elements() + (form.rectified() ? maskBytes() : 0);
        }

        private long zeroed(long bytes) {
            return bytes == 0 ? 0 : times.zeroed(memory, bytes).address();
        }

        /** Normally distributed numbers: a piece from the host, repeated. */
        private long normal(int seed, long bytes, boolean narrow) {
            int[] words = new int[(int) Math.min(bytes / Integer.BYTES, 1 << 18)];
            Random random = new Random(seed);
            for (int i = 0; i < words.length; i++) {
                int bits = Float.floatToRawIntBits((float) random.nextGaussian());
                // The upper half of a float32 is a bf16, rounded towards zero.
                words[i] = narrow
                        ? (bits >>> 16) | (Float.floatToRawIntBits((float) random.nextGaussian()) & 0xFFFF_0000)
                        : bits;
            }
            long address = zeroed(bytes);
            backend.transfer().write(words, address);
            for (long done = (long) Integer.BYTES * words.length; done > 0 && done < bytes; done *= 2) {
                cuMemcpyDtoDAsync(
                        DevicePointer.at(address + done),
                        DevicePointer.at(address),
                        Math.min(done, bytes - done),
                        device.stream());
            }
            return address;
        }

        /** The arguments of a kernel, when it is known where teams leave their numbers and how much blocks keep. */
        private interface Arguments {
            Object[] of(long partials, int kept);
        }

        private Kernels.Call call(String kernel, int ahead, int twice, int once, Arguments arguments) {
            Kernels.Room room = device.kernels().room(times.named(kernel));
            long rows = (long) ghostBatch * plane;
            Grids.Teams teams = grids.teams(rows, shape.channels, groups, ahead, twice, once, room);
            return device.kernels()
                    .together(
                            times.named(kernel), teams, arguments.of(zeroed(grids.partialBytes(teams)), teams.kept()));
        }

        Kernels.Call forward() {
            String kernel = form.added() ? "ghost_norm_forward_add" : "ghost_norm_forward";
            return call(kernel, Grids.AHEAD, 1, form.added() ? 2 : 1, (partials, kept) -> {
                List<Object> arguments = new ArrayList<>(List.of(
                        x,
                        scale,
                        shift,
                        mean,
                        variance,
                        y,
                        mask,
                        runningMean,
                        runningVariance,
                        partials,
                        backend.tickets(),
                        shape.samples,
                        shape.channels,
                        plane,
                        ghostBatch,
                        (float) EPSILON,
                        (float) MOMENTUM,
                        form.rectified() ? 1 : 0,
                        kept));
                if (form.added()) {
                    arguments.add(1, addend);
                }
                return arguments.toArray();
            });
        }

        Kernels.Call backward() {
            return call(
                    "ghost_norm_backward",
                    Norms.BOTH_AHEAD,
                    2,
                    form.added() ? 2 : 1,
                    (partials, kept) -> CudaLowering.arguments(
                            x,
                            dy,
                            scale,
                            mean,
                            variance,
                            mask,
                            sums,
                            0L,
                            dx,
                            daddend,
                            dscale,
                            dshift,
                            partials,
                            backend.tickets(),
                            shape.samples,
                            shape.channels,
                            plane,
                            ghostBatch,
                            (float) EPSILON,
                            kept));
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
        final cudnnActivationDescriptor relu = new cudnnActivationDescriptor();
        final Pointer one = Pointer.to(new float[] {1});
        final Pointer zero = Pointer.to(new float[] {0});

        Descriptors(Activation x) {
            cudnnCreateTensorDescriptor(activation);
            cudnnCreateTensorDescriptor(channels);
            cudnnCreateActivationDescriptor(relu);
            int type = precision == Precision.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
            cudnnSetTensor4dDescriptor(activation, CUDNN_TENSOR_NHWC, type, x.samples, x.channels, x.side, x.side);
            cudnnSetTensor4dDescriptor(channels, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, x.channels, 1, 1);
            cudnnSetActivationDescriptor(relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0);
        }

        @Override
        public void close() {
            cudnnDestroyActivationDescriptor(relu);
            cudnnDestroyTensorDescriptor(channels);
            cudnnDestroyTensorDescriptor(activation);
        }
    }

    /**
     * cuDNN's functions that have fused forms, too. What a form does not use is given nevertheless: JCuda takes no null
     * for it, and cuDNN does not look at it.
     */
    private final class Extended implements AutoCloseable {
        final Normed n;
        final Descriptors d;
        final DevicePointer added;
        final DevicePointer addedGradient;
        /** Bytes, and memory of so many, once they are asked for. */
        DeviceBlock workspace = DeviceBlock.allocate("batch norm's workspace", 0);

        DeviceBlock reserve = DeviceBlock.allocate("what batch norm keeps for its gradient", 0);

        Extended(Normed n) {
            this.n = n;
            this.d = new Descriptors(n.shape);
            this.added = DevicePointer.at(n.form.added() ? n.addend : n.x);
            this.addedGradient = DevicePointer.at(n.form.added() ? n.daddend : n.dx);
        }

        /** Whether cuDNN takes this call; if so it has run once. */
        boolean offered(Runnable call) {
            try {
                if (workspace.bytes() == 0) {
                    long backward = size(bytes -> cudnnGetBatchNormalizationBackwardExWorkspaceSize(
                            device.lane().cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            n.form.operations,
                            d.activation,
                            d.activation,
                            d.activation,
                            d.activation,
                            d.activation,
                            d.channels,
                            d.relu,
                            bytes));
                    long forward = size(bytes -> cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
                            device.lane().cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            n.form.operations,
                            d.activation,
                            d.activation,
                            d.activation,
                            d.channels,
                            d.relu,
                            bytes));
                    long reserved = size(bytes -> cudnnGetBatchNormalizationTrainingExReserveSpaceSize(
                            device.lane().cudnn(),
                            CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                            n.form.operations,
                            d.relu,
                            d.activation,
                            bytes));
                    workspace =
                            n.memory.own(DeviceBlock.allocate("batch norm's workspace", Math.max(forward, backward)));
                    reserve = n.memory.own(DeviceBlock.allocate("what batch norm keeps for its gradient", reserved));
                }
                call.run();
                return true;
            } catch (jcuda.CudaException e) {
                if (CudaCalls.name(e).contains("NOT_SUPPORTED")) {
                    return false;
                }
                throw device.health().note(CudaCalls.failure("run cuDNN's batch norm", e));
            }
        }

        /** What one of cuDNN's questions answers, but at least a page, so that there is an address. */
        private long size(Consumer<long[]> question) {
            long[] bytes = new long[1];
            question.accept(bytes);
            return Math.max(4096, bytes[0]);
        }

        void forward() {
            cudnnBatchNormalizationForwardTrainingEx(
                    device.lane().cudnn(),
                    CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                    n.form.operations,
                    d.one,
                    d.zero,
                    d.activation,
                    DevicePointer.at(n.x),
                    d.activation,
                    added,
                    d.activation,
                    DevicePointer.at(n.y),
                    d.channels,
                    DevicePointer.at(n.scale),
                    DevicePointer.at(n.shift),
                    MOMENTUM,
                    DevicePointer.at(n.runningMean),
                    DevicePointer.at(n.runningVariance),
                    EPSILON,
                    DevicePointer.at(n.mean),
                    DevicePointer.at(n.variance),
                    d.relu,
                    workspace.pointer(),
                    workspace.bytes(),
                    reserve.pointer(),
                    reserve.bytes());
        }

        void backward() {
            cudnnBatchNormalizationBackwardEx(
                    device.lane().cudnn(),
                    CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
                    n.form.operations,
                    d.one,
                    d.zero,
                    d.one,
                    d.zero,
                    d.activation,
                    DevicePointer.at(n.x),
                    d.activation,
                    DevicePointer.at(n.y),
                    d.activation,
                    DevicePointer.at(n.dy),
                    d.activation,
                    addedGradient,
                    d.activation,
                    DevicePointer.at(n.dx),
                    d.channels,
                    DevicePointer.at(n.scale),
                    DevicePointer.at(n.shift),
                    DevicePointer.at(n.dscale),
                    DevicePointer.at(n.dshift),
                    EPSILON,
                    DevicePointer.at(n.mean),
                    DevicePointer.at(n.variance),
                    d.relu,
                    workspace.pointer(),
                    workspace.bytes(),
                    reserve.pointer(),
                    reserve.bytes());
        }

        @Override
        public void close() {
            d.close();
        }
    }
}
