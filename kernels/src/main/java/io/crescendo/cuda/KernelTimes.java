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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
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
 * <p>Bytes are those of the contract at the head of each kernel's file, read plus written. All numbers are normally
 * distributed and scalars those of real training: on zeros a device may run faster.
 *
 * <p>IMPLEMENTATION NOTES. Before each cold repeat memory larger than any cache is read, and only read: had it been
 * written, the repeat would pay for writing it back. A warm time is that of one of many launches in a row, so that the
 * time it takes to begin one is hidden behind the launch before, as it is in training; they find what the one before
 * left in the cache.
 */
public final class KernelTimes implements AutoCloseable {
    /** Several times the level 2 cache of any card. */
    private static final long FLUSH_BYTES = 512L << 20;

    private static final int REPEATS = 21;
    private static final int WARM_UP = 3;

    private static final int LAUNCHES_OF_WARM_REPEAT = 20;

    /** Numbers that are drawn; larger memory holds them again and again. */
    private static final int DRAWN = 1 << 18;

    private static final int ELEMENTS_OF_BIT = 16; // of the mask of decaying parameters

    /** UpdateScalars of update.cuh at the hundredth update of 128 samples; small steps, for many are made. */
    private static final float[] NUMBERS = {1e-4f, 0.9f, 1 / 128f, 5e-4f, 0.1f, 1.00003f, 10.5f, Float.POSITIVE_INFINITY
    };

    private final CudaBackend backend;
    private final CudaDevice device;
    private final Precision precision;
    private final int repeats;
    private final CudaScope scope;
    private final DeviceBlock flushed;
    private final DeviceBlock normal;
    private final DeviceBlock halfNormal;
    private final DeviceBlock positive;
    private final Kernels.Call flush;
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

    private KernelTimes(CudaBackend backend, Precision precision, long flushBytes, int repeats) {
        this.backend = backend;
        this.device = backend.device();
        this.precision = precision;
        this.repeats = repeats;
        this.scope = device.newScope();
        float[] numbers = new float[DRAWN];
        int[] halves = new int[DRAWN / 2];
        float[] squares = new float[DRAWN];
        Random random = new Random(1);
        for (int i = 0; i < DRAWN; i++) {
            numbers[i] = (float) random.nextGaussian();
            squares[i] = numbers[i] * numbers[i];
            halves[i / 2] |= (Float.floatToRawIntBits(numbers[i]) >>> Short.SIZE) << (Short.SIZE * (i % 2));
        }
        this.normal = scope.own(DeviceBlock.allocate("normal numbers", (long) Float.BYTES * DRAWN));
        this.halfNormal = scope.own(DeviceBlock.allocate("normal numbers", (long) Short.BYTES * DRAWN));
        this.positive = scope.own(DeviceBlock.allocate("squares", (long) Float.BYTES * DRAWN));
        backend.transfer().write(numbers, normal.address());
        backend.transfer().write(halves, halfNormal.address());
        backend.transfer().write(squares, positive.address());
        this.flushed = filled(scope, flushBytes, normal);
        this.flush = check(scope, flushed.address(), flushBytes / Float.BYTES);
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
        return open(new CudaBackend(BackendOptions.DEFAULT.withPrecision(precision)), precision, FLUSH_BYTES, REPEATS);
    }

    static KernelTimes open(CudaBackend backend, Precision precision, long flushBytes, int repeats) {
        try {
            backend.device().enter();
            return new KernelTimes(backend, precision, flushBytes, repeats);
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
            DeviceBlock from = filled(memory, bytes, normal);
            DeviceBlock to = filled(memory, bytes, normal);
            return time(2 * bytes, () -> cuMemcpyDtoDAsync(to.pointer(), from.pointer(), bytes, device.stream()));
        }
    }

    /**
     * A parameter update without clearing of the gradient; with bf16 weights where the precision is bf16.
     *
     * @param rule sgd, momentum, nesterov, adam or adamw
     */
    public Times update(String rule, long elements) {
        return update(rule, elements, false);
    }

    /**
     * A parameter update; with bf16 weights where the precision is bf16.
     *
     * @param rule sgd, momentum, nesterov, adam or adamw
     * @param clears whether it leaves the gradient at zero, as in training; warm repeats then find it at zero, too
     */
    public Times update(String rule, long elements, boolean clears) {
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
            List<Object> arguments = new ArrayList<>();
            for (int i = 0; i <= states; i++) { // weights and state; Adam's second moment is positive
                arguments.add(filled(memory, Float.BYTES * elements, i < 2 ? normal : positive)
                        .address());
            }
            DeviceBlock gradient = filled(memory, Float.BYTES * elements, normal);
            int[] mask = new int[Math.toIntExact(elements / ELEMENTS_OF_BIT / Integer.SIZE + 1)];
            Arrays.fill(mask, 0x7FFF_FFFF); // nearly all weights decay
            DeviceBlock decayed = zeroed(memory, (long) Integer.BYTES * mask.length);
            backend.transfer().write(mask, decayed.address());
            arguments.addAll(List.of(
                    gradient.address(),
                    shadowed ? zeroed(memory, Short.BYTES * elements).address() : 0L,
                    elements,
                    scalars(memory),
                    decayed.address(),
                    zeroed(memory, Integer.BYTES).address(),
                    clears ? 1 : 0));
            if (states == 2) {
                arguments.addAll(List.of(0.999f, 0.001f, 1e-8f));
            }
            Kernels.Call call = device.kernels()
                    .call("update_" + rule, Grids.blocksInOrder((elements + 3) / 4), 1, arguments.toArray());
            long bytes = (12L + 8L * states + (shadowed ? 2 : 0) + (clears ? 4 : 0)) * elements + elements / 128;
            return time(bytes, () -> call.enqueue(device.stream()), () -> {
                if (clears) {
                    fill(gradient, normal);
                }
            });
        }
    }

    /** The reading of the gradient before each update: whether it is finite, and its norm. */
    public Times gradientCheck(long elements) {
        try (CudaScope memory = device.newScope()) {
            Kernels.Call call =
                    check(memory, filled(memory, Float.BYTES * elements, normal).address(), elements);
            return time(Float.BYTES * elements, () -> call.enqueue(device.stream()));
        }
    }

    private Kernels.Call check(CudaScope memory, long gradient, long elements) {
        int blocks = backend.blocks((elements + 3) / 4);
        return device.kernels()
                .call(
                        "clip_gradient",
                        blocks,
                        1,
                        gradient,
                        elements,
                        scalars(memory),
                        zeroed(memory, (long) Float.BYTES * NUMBERS.length).address(),
                        0L,
                        zeroed(memory, Integer.BYTES).address(),
                        zeroed(memory, (long) Double.BYTES * blocks).address(),
                        backend.tickets());
    }

    private long scalars(CudaScope memory) {
        DeviceBlock scalars = zeroed(memory, (long) Float.BYTES * NUMBERS.length);
        backend.transfer().write(NUMBERS, scalars.address());
        return scalars.address();
    }

    /** Softmax cross-entropy with its gradient. */
    public Times crossEntropy(int samples, int classes) {
        try (CudaScope memory = device.newScope()) {
            long bytes = (long) backend.elementBytes() * samples * classes;
            int[] labels = new Random(2).ints(samples, 0, classes).toArray();
            DeviceBlock places = zeroed(memory, (long) Integer.BYTES * samples);
            backend.transfer().write(labels, places.address());
            int together = classes < Losses.CLASSES_OF_BLOCK ? Kernels.THREADS / 32 : 1;
            int blocks = backend.blocksOf((samples + together - 1L) / together);
            Kernels.Call call = device.kernels()
                    .call(
                            named("cross_entropy"),
                            blocks,
                            1,
                            filled(memory, bytes, drawn()).address(),
                            places.address(),
                            zeroed(memory, bytes).address(),
                            zeroed(memory, Double.BYTES).address(),
                            zeroed(memory, Long.BYTES).address(),
                            zeroed(memory, 2L * Double.BYTES * blocks).address(),
                            backend.tickets(),
                            samples,
                            classes,
                            0.1f);
            return time(2 * bytes, () -> call.enqueue(device.stream()));
        }
    }

    /** Dropout of activations of so many rows and columns. */
    public Times dropout(int samples, int channels, int side) {
        try (CudaScope memory = device.newScope()) {
            long elements = (long) samples * channels * side * side;
            long bytes = backend.elementBytes() * elements;
            DeviceBlock x = filled(memory, bytes, drawn());
            Kernels.Call call = device.kernels()
                    .call(
                            named("dropout"),
                            device.grids(backend.elementBytes())
                                    .dropout(samples, elements / samples)
                                    .x(),
                            1,
                            zeroed(memory, bytes).address(),
                            x.address(),
                            zeroed(memory, 2L * Long.BYTES).address(),
                            samples,
                            channels,
                            side * side,
                            1,
                            1 << 30, // a quarter
                            4 / 3f);
            return time(2 * bytes, () -> call.enqueue(device.stream()));
        }
    }

    /** The sum of micro-batch gradients with their norms; parts are bf16 where the precision is. */
    public Times gradientSum(int parts, long elements) {
        int partBytes = backend.elementBytes();
        try (CudaScope memory = device.newScope()) {
            int[] addresses = new int[2 * parts];
            for (int k = 0; k < parts; k++) {
                long part = filled(memory, partBytes * elements, drawn()).address();
                addresses[2 * k] = (int) part;
                addresses[2 * k + 1] = (int) (part >>> Integer.SIZE);
            }
            float[] weights = new float[parts];
            Arrays.fill(weights, 1);
            DeviceBlock table = zeroed(memory, (long) Long.BYTES * parts);
            DeviceBlock factors = zeroed(memory, (long) Float.BYTES * parts);
            backend.transfer().write(addresses, table.address());
            backend.transfer().write(weights, factors.address());
            int blocks = device.grids(partBytes).blocksOfSum(partBytes * elements);
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

    /** Normal numbers of this precision's activations. */
    private DeviceBlock drawn() {
        return precision == Precision.BF16 ? halfNormal : normal;
    }

    private DeviceBlock filled(CudaScope memory, long bytes, DeviceBlock pattern) {
        DeviceBlock block = memory.own(DeviceBlock.allocate("a benchmark", bytes));
        fill(block, pattern);
        return block;
    }

    /** Repeats a pattern: what is there is doubled until all is full. */
    private void fill(DeviceBlock block, DeviceBlock pattern) {
        long done = Math.min(block.bytes(), pattern.bytes());
        if (done > 0) {
            cuMemcpyDtoDAsync(block.pointer(), pattern.pointer(), done, device.stream());
        }
        while (done < block.bytes()) {
            long more = Math.min(done, block.bytes() - done);
            cuMemcpyDtoDAsync(DevicePointer.at(block.address() + done), block.pointer(), more, device.stream());
            done += more;
        }
    }

    /** Times launches that were prepared. */
    Times time(long bytes, Runnable launches) {
        return time(bytes, launches, () -> {});
    }

    /** The same; what comes before each cold repeat is not timed. */
    private Times time(long bytes, Runnable launches, Runnable before) {
        device.enter();
        try {
            double cold = median(
                    repeats,
                    () -> {
                        before.run();
                        flush.enqueue(device.stream());
                    },
                    launches);
            double warm = median(Math.max(1, repeats / 3), before, () -> {
                for (int i = 0; i < LAUNCHES_OF_WARM_REPEAT; i++) {
                    launches.run();
                }
            });
            return new Times(new Time(cold, bytes), new Time(warm / LAUNCHES_OF_WARM_REPEAT, bytes));
        } catch (jcuda.CudaException e) {
            throw device.health().note(CudaCalls.failure("time a kernel", e));
        }
    }

    private double median(int count, Runnable before, Runnable launches) {
        double[] seconds = new double[count];
        for (int i = -WARM_UP; i < count; i++) {
            before.run();
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
        return seconds[count / 2];
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
