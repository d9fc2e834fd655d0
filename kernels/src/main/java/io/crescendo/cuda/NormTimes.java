package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.KernelTimes.Time;
import io.crescendo.cuda.KernelTimes.Times;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Times ghost batch norm at any ghost size, and cuDNN's batch norm over the whole batch beside it.
 *
 * <p>Bytes are the floor, whatever really moves: forward x and y once, backward x, dy and dx once, the addend or its
 * gradient once, and the mask of a ReLU. Activations and parameters are normally distributed numbers: zeros can make a
 * device faster than real data does.
 */
public final class NormTimes {
    static final double EPSILON = 1e-5;
    static final double MOMENTUM = 0.1;

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
        PLAIN,
        /** A ReLU, whose gradient reads a mask. */
        RELU,
        /** A residual is added, then the ReLU. */
        ADD_RELU;

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
        try (Normed n = new Normed(x, x.samples, Form.PLAIN)) {
            CudnnNorm cudnn = new CudnnNorm(n, device, precision);
            Times classic = times.time(n.floorBytes(2), cudnn::forward);
            return cudnn.offers(cudnn::extendedForward)
                    ? faster(classic, times.time(n.floorBytes(2), cudnn::extendedForward))
                    : classic;
        }
    }

    /** cuDNN's gradient of it, likewise. */
    public Times plainBackward(Activation x) {
        try (Normed n = new Normed(x, x.samples, Form.PLAIN)) {
            CudnnNorm cudnn = new CudnnNorm(n, device, precision);
            cudnn.forward();
            Times classic = times.time(n.floorBytes(3), cudnn::backward);
            return cudnn.offers(cudnn::extendedForward) && cudnn.offers(cudnn::extendedBackward)
                    ? faster(classic, times.time(n.floorBytes(3), cudnn::extendedBackward))
                    : classic;
        }
    }

    private static Times faster(Times one, Times other) {
        return new Times(faster(one.cold(), other.cold()), faster(one.warm(), other.warm()));
    }

    private static Time faster(Time one, Time other) {
        return one.seconds() <= other.seconds() ? one : other;
    }

    /** The buffers of a normalisation, and its launch each way. */
    final class Normed implements AutoCloseable {
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
}
