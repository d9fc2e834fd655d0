package io.crescendo.cuda;

import static jcuda.driver.CUevent_flags.CU_EVENT_DEFAULT;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD8Async;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.util.Arrays;
import java.util.List;
import jcuda.driver.CUevent;

/**
 * Times kernels one by one, by the clock of the device: what a benchmark of bandwidth needs and a backend does not.
 *
 * <pre>{@code
 * try (KernelTimes times = KernelTimes.open(Precision.BF16)) {
 *     double ceiling = times.copy(256 << 20).cold().bytesPerSecond();
 *     double share = times.update("momentum", 25_000_000).cold().bytesPerSecond() / ceiling;
 * }
 * }</pre>
 *
 * <p>Bytes are those of the contract at the head of each kernel's file, read plus written. Before each cold repeat
 * memory larger than any cache is overwritten; a warm repeat finds what the one before left.
 */
public final class KernelTimes implements AutoCloseable {
    /** Several times the level 2 cache of any card. */
    private static final long FLUSH_BYTES = 512L << 20;

    private static final int REPEATS = 21;
    private static final int WARM_UP = 3;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final Precision precision;
    private final CudaScope scope;
    private final DeviceBlock flushed;
    private final CUevent begin = new CUevent();
    private final CUevent end = new CUevent();

    /**
     * How long one launch, or the few that make up an operation, took.
     *
     * @param seconds median
     * @param bytes by the contract
     */
    public record Time(double seconds, long bytes) {
        /** Bytes per second. */
        public double bytesPerSecond() {
            return bytes / seconds;
        }
    }

    /**
     * Both kinds of repeats.
     *
     * @param cold with an empty cache
     * @param warm with what the repeat before left in the cache
     */
    public record Times(Time cold, Time warm) {}

    private KernelTimes(CudaBackend backend, Precision precision, long flushBytes) {
        this.backend = backend;
        this.device = backend.device();
        this.precision = precision;
        this.scope = device.newScope();
        this.flushed = scope.own(DeviceBlock.allocate("emptying the cache", flushBytes));
        for (CUevent event : List.of(begin, end)) {
            cuEventCreate(event, CU_EVENT_DEFAULT);
            scope.onClose(() -> cuEventDestroy(event));
        }
    }

    /**
     * Opens the first device.
     *
     * @throws CudaLibraryException if libraries are missing
     * @throws CudaException if there is no device
     */
    public static KernelTimes open(Precision precision) {
        return open(new CudaBackend(BackendOptions.DEFAULT.withPrecision(precision)), precision, FLUSH_BYTES);
    }

    static KernelTimes open(CudaBackend backend, Precision precision, long flushBytes) {
        try {
            backend.device().enter();
            return new KernelTimes(backend, precision, flushBytes);
        } catch (RuntimeException e) {
            backend.close();
            throw e;
        }
    }

    CudaBackend backend() {
        return backend;
    }

    Precision precision() {
        return precision;
    }

    /** Name and properties of the device. */
    public String device() {
        return backend.description();
    }

    /** The driver's own copy within the device: the ceiling that everything else is held against. */
    public Times copy(long bytes) {
        try (CudaScope memory = device.newScope()) {
            DeviceBlock from = zeroed(memory, bytes);
            DeviceBlock to = zeroed(memory, bytes);
            return time(2 * bytes, () -> cuMemcpyDtoDAsync(to.pointer(), from.pointer(), bytes, device.stream()));
        }
    }

    /**
     * A parameter update without clearing of the gradient; with bf16 weights where the precision is bf16.
     *
     * @param rule sgd, momentum, nesterov, adam or adamw
     */
    public Times update(String rule, long elements) {
        int states = switch (rule) {
            case "sgd" -> 0;
            case "momentum", "nesterov" -> 1;
            case "adam", "adamw" -> 2;
            default ->
                throw new IllegalArgumentException(
                        "no update '" + rule + "' is timed; known are sgd, momentum, nesterov, adam, adamw");
        };
        boolean shadowed = precision == Precision.BF16;
        try (CudaScope memory = device.newScope()) {
            long[] packs = new long[states + 2]; // weights, state, gradients, as the kernels take them
            for (int i = 0; i < packs.length; i++) {
                packs[i] = zeroed(memory, Float.BYTES * elements).address();
            }
            long shadow = shadowed ? zeroed(memory, Short.BYTES * elements).address() : 0;
            long scalars = zeroed(memory, 8L * Float.BYTES).address();
            long decayed = zeroed(memory, elements / 128 + Long.BYTES).address();
            Object[] arguments = new Object[packs.length + 6 + (states == 2 ? 3 : 0)];
            int at = 0;
            for (long pack : packs) {
                arguments[at++] = pack;
            }
            for (Object argument : new Object[] {shadow, elements, scalars, decayed, 0L, 0}) {
                arguments[at++] = argument;
            }
            if (states == 2) {
                arguments[at++] = 0.999f;
                arguments[at++] = 0.001f;
                arguments[at] = 1e-8f;
            }
            Kernels.Call call =
                    device.kernels().call("update_" + rule, backend.blocks((elements + 3) / 4), 1, arguments);
            long bytes = (12L + 8L * states + (shadowed ? 2 : 0)) * elements + elements / 128;
            return time(bytes, () -> call.enqueue(device.stream()));
        }
    }

    /** The sum of micro-batch gradients with their norms; parts are bf16 where the precision is. */
    public Times gradientSum(int parts, long elements) {
        int partBytes = backend.elementBytes();
        try (CudaScope memory = device.newScope()) {
            int[] addresses = new int[2 * parts];
            for (int k = 0; k < parts; k++) {
                long part = zeroed(memory, partBytes * elements).address();
                addresses[2 * k] = (int) part;
                addresses[2 * k + 1] = (int) (part >>> Integer.SIZE);
            }
            float[] weights = new float[parts];
            Arrays.fill(weights, 1);
            DeviceBlock table = zeroed(memory, (long) Long.BYTES * parts);
            DeviceBlock factors = zeroed(memory, (long) Float.BYTES * parts);
            backend.transfer().write(addresses, table.address());
            backend.transfer().write(weights, factors.address());
            int blocks = backend.blocks((elements * partBytes + 15) / 16);
            Kernels.Call call = device.kernels()
                    .call(
                            named("gradient_sum"),
                            blocks,
                            1,
                            zeroed(memory, Float.BYTES * elements).address(),
                            table.address(),
                            factors.address(),
                            parts,
                            elements,
                            0,
                            zeroed(memory, (parts + 1L) * Double.BYTES).address(),
                            zeroed(memory, (parts + 1L) * Float.BYTES * blocks).address(),
                            backend.tickets(),
                            0L);
            return time(((long) parts * partBytes + Float.BYTES) * elements, () -> call.enqueue(device.stream()));
        }
    }

    /** Normalisations on the same device. */
    public NormTimes norms() {
        return new NormTimes(this);
    }

    /** The kernel for this precision's activations. */
    String named(String kernel) {
        return kernel + (precision == Precision.BF16 ? "_bf16" : "_f32");
    }

    /** Zeroed memory that ends with the scope. */
    DeviceBlock zeroed(CudaScope memory, long bytes) {
        DeviceBlock block = memory.own(DeviceBlock.allocate("a benchmark", bytes));
        cuMemsetD8Async(block.pointer(), (byte) 0, bytes, device.stream());
        return block;
    }

    /** Times launches that were prepared. */
    Times time(long bytes, Runnable launches) {
        device.enter();
        try {
            return new Times(new Time(median(launches, true), bytes), new Time(median(launches, false), bytes));
        } catch (jcuda.CudaException e) {
            throw device.health().note(CudaCalls.failure("time a kernel", e));
        }
    }

    private double median(Runnable launches, boolean cold) {
        double[] seconds = new double[REPEATS];
        for (int i = -WARM_UP; i < REPEATS; i++) {
            if (cold) {
                cuMemsetD8Async(flushed.pointer(), (byte) i, flushed.bytes(), device.stream());
            }
            cuEventRecord(begin, device.stream());
            launches.run();
            cuEventRecord(end, device.stream());
            device.await();
            float[] milliseconds = new float[1];
            cuEventElapsedTime(milliseconds, begin, end);
            if (i >= 0) {
                seconds[i] = milliseconds[0] * 1e-3;
            }
        }
        Arrays.sort(seconds);
        return seconds[REPEATS / 2];
    }

    @Override
    public void close() {
        try {
            device.await();
            scope.close();
        } finally {
            backend.close();
        }
    }
}
