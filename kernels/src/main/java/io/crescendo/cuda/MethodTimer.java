package io.crescendo.cuda;

import static jcuda.driver.CUevent_flags.CU_EVENT_DEFAULT;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD8Async;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;

import io.crescendo.cuda.ConvolutionMethod.Operands;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.Set;
import java.util.function.BooleanSupplier;
import jcuda.driver.CUevent;
import org.jspecify.annotations.Nullable;

/**
 * Measures how long methods take for one convolution and whether they are right, on temporary memory and a stream that
 * no step uses.
 *
 * <p>Whether: an engine may be wrong for some shape, and nobody would see it in a network that learns all the same. So
 * every method's answer is compared, once, with that of a {@link #trust trusted} one, on random operands in memory that
 * is otherwise full of NaN: workspace, result and what lies behind each tensor. There a step has what other operations
 * have left, and a method that reads it, were it to multiply it by zero, is wrong some day.
 */
final class MethodTimer implements AutoCloseable {
    private static final Logger LOG = System.getLogger(MethodTimer.class.getName());
    private static final int ROUNDS = 3;
    /** Recorded together, so that what the host needs for a launch is not measured. */
    private static final int RUNS_OF_ROUND = 4;
    /** A round that is longer than this needs no second one: kernels of a millisecond have few outliers. */
    private static final double LONG_ROUND_MILLISECONDS = 4;
    /** What was so much slower than another method in one round is not the fastest. */
    private static final double HOPELESS = 1.5;
    /** Every bit set: NaN, whether it is read as float32 or bf16. */
    private static final byte POISON = -1;
    /** Different random numbers; a prime, so that rows and tiles of a tensor do not repeat. */
    private static final int NUMBERS = 65_521;

    private static final long SEED = 7;

    private final ConvolutionProblem problem;
    private final Lane lane;
    private final Kernels kernels;
    private final CudaScope.Health health;
    private final CudaScope scope;
    private final CUevent start = new CUevent();
    private final CUevent end = new CUevent();
    private final DeviceBlock block;
    private final Grids grids;
    private final PinnedBlock wide;
    private final PinnedBlock narrow;
    private final Grid grid;
    private final PinnedBlock found;
    /** Those that did not run: they are not tried again. */
    private final Set<ConvolutionMethod> broken = new HashSet<>();

    private long used;

    private final long first;
    private final long second;
    private final long result;
    private final long narrowResult;
    private final long bias;
    private final long workspace;
    private final long expected;
    private final long differences;
    private final long resultElements;
    private final int resultBytes;
    private final long workspaceBytes;

    /**
     * Takes memory for the convolution's operands, and for its result twice.
     *
     * @param workspaceBytes the largest workspace of the methods to be measured
     * @throws CudaException if the device has not that much memory left
     */
    MethodTimer(CudaDevice device, Lane lane, ConvolutionProblem problem, long workspaceBytes) {
        this.problem = problem;
        this.health = device.health();
        this.scope = device.newScope();
        this.lane = lane;
        this.kernels = device.kernels();
        this.grids = device.grids(problem.elementBytes());
        this.workspaceBytes = workspaceBytes;
        Direction direction = problem.direction();
        int bytes = problem.elementBytes();
        long firstElements = direction == Direction.INPUT_GRADIENT ? problem.outputElements() : problem.inputElements();
        long secondElements =
                direction == Direction.WEIGHT_GRADIENT ? problem.outputElements() : problem.weightElements();
        resultElements = problem.resultElements();
        resultBytes = direction == Direction.WEIGHT_GRADIENT ? Float.BYTES : bytes; // in the pack
        grid = grids.threads(resultElements / grids.packed() + 1);
        first = take(firstElements * bytes);
        second = take(secondElements * bytes);
        result = take(resultElements * resultBytes);
        narrowResult = take(problem.narrow() ? resultElements * Short.BYTES : 0);
        bias = take(problem.bias() ? (long) problem.filters() * Float.BYTES : 0);
        workspace = take(workspaceBytes);
        expected = take(resultElements * resultBytes);
        differences = take(differenceBytes());
        try {
            block = scope.own(DeviceBlock.allocate("trying algorithms", used));
            wide = scope.own(new PinnedBlock("trying algorithms", NUMBERS * Float.BYTES));
            narrow = scope.own(new PinnedBlock("trying algorithms", NUMBERS * Short.BYTES));
            found = scope.own(new PinnedBlock("trying algorithms", differenceBytes()));
            draw();
            cuMemsetD8Async(block.pointer(), POISON, used, lane.stream());
            fill(first, firstElements, bytes);
            fill(second, secondElements, bytes);
            if (problem.bias()) {
                fill(bias, problem.filters(), Float.BYTES);
            }
            cuEventCreate(start, CU_EVENT_DEFAULT);
            scope.onClose(() -> cuEventDestroy(start));
            cuEventCreate(end, CU_EVENT_DEFAULT);
            scope.onClose(() -> cuEventDestroy(end));
        } catch (RuntimeException e) {
            throw scope.closeAfter(e);
        }
    }

    private int differenceBytes() {
        return 2 * Integer.BYTES * grid.x();
    }

    /** With a gap behind it, which stays poisoned. */
    private long take(long bytes) {
        long offset = used;
        used += (bytes / OpPlan.SCRATCH_ALIGNMENT + 2) * OpPlan.SCRATCH_ALIGNMENT;
        return offset;
    }

    private void draw() {
        Random random = new Random(SEED);
        FloatBuffer floats = wide.bytes().asFloatBuffer();
        ShortBuffer halves = narrow.bytes().asShortBuffer();
        for (int i = 0; i < NUMBERS; i++) {
            float number = 2 * random.nextFloat() - 1;
            floats.put(i, number);
            halves.put(i, (short) (Float.floatToRawIntBits(number) >>> Short.SIZE)); // cut off: a bf16 all the same
        }
    }

    /** Puts random numbers into a tensor: from the host as many as there are, and then twice as many as before. */
    private void fill(long offset, long elements, int elementBytes) {
        long bytes = elements * elementBytes;
        PinnedBlock numbers = elementBytes == Float.BYTES ? wide : narrow;
        long done = Math.min(bytes, numbers.size());
        cuMemcpyHtoDAsync(at(offset), numbers.pointer(), done, lane.stream());
        while (done < bytes) {
            long part = Math.min(done, bytes - done);
            cuMemcpyDtoDAsync(at(offset + done), at(offset), part, lane.stream());
            done += part;
        }
    }

    private DevicePointer at(long offset) {
        return DevicePointer.at(block.address() + offset);
    }

    /** Everything that methods write, as a step might find it. */
    private void reset() {
        if (problem.addend() || problem.direction() == Direction.WEIGHT_GRADIENT) {
            fill(result, resultElements, resultBytes); // added to
        } else {
            cuMemsetD8Async(at(result), POISON, resultElements * resultBytes, lane.stream());
        }
        if (problem.narrow()) {
            cuMemsetD8Async(at(narrowResult), POISON, resultElements * Short.BYTES, lane.stream());
        }
        if (workspaceBytes > 0) {
            cuMemsetD8Async(at(workspace), POISON, workspaceBytes, lane.stream());
        }
    }

    /** Takes the answer of the first of these methods that has one, and else of our own kernels, for the right one. */
    void trust(List<ConvolutionMethod> methods) {
        for (ConvolutionMethod method : methods) {
            if (run(method, this::keep) != null) {
                return;
            }
        }
        try (ConvolutionMethod own = new KernelConvolution(problem, grids)) {
            reset();
            own.bind(kernels, operands(own)).enqueue(lane);
            keep();
        }
    }

    /** Keeps the result as the expected one; tells whether it is made of numbers. */
    private boolean keep() {
        cuMemcpyDtoDAsync(at(expected), at(result), resultElements * resultBytes, lane.stream());
        return agrees("the trusted one");
    }

    /** Waits for the result; tells whether it is, but for roundings, the expected one. */
    private boolean agrees(String method) {
        long base = block.address();
        String type = resultBytes == Short.BYTES ? "bf16" : "f32";
        kernels.call(
                        "difference_" + type,
                        grid.x(),
                        1,
                        base + result,
                        base + expected,
                        resultElements,
                        base + differences)
                .enqueue(lane.stream());
        cuMemcpyDtoHAsync(found.pointer(), at(differences), differenceBytes(), lane.stream());
        cuStreamSynchronize(lane.stream());
        IntBuffer bits = found.bytes().asIntBuffer();
        int apart = 0;
        int size = 0;
        for (int i = 0; i < 2 * grid.x(); i += 2) {
            apart = Math.max(apart, bits.get(i));
            size = Math.max(size, bits.get(i + 1));
        }
        float largest = Float.intBitsToFloat(apart);
        float value = Float.intBitsToFloat(size);
        boolean agrees = largest <= roundoff() * value; // false with NaN
        if (!agrees) {
            LOG.log(
                    Level.DEBUG,
                    "method {0} is passed over for {1}: its answer is {2} away from one whose largest number is {3}",
                    method,
                    problem.key(),
                    largest,
                    value);
        }
        return agrees;
    }

    /**
     * How far two right answers may be apart, relative to the largest number: far above the roundings of any order of
     * adding, and of a few stored results, and far below what a wrong index or a number that is not ours leads to.
     */
    private double roundoff() {
        return switch (problem.precision()) {
            case FP32 -> 0x1p-10;
            case TF32 -> 0x1p-7;
            case BF16 -> 0x1p-5;
        };
    }

    /**
     * Runs a method once, which loads its code and shows whether it works at all; null if it does not, or if what it
     * computed is not good. Waits only once: beside a step that runs, each waiting is as long as some of its kernels.
     */
    private @Nullable Launch run(ConvolutionMethod method, BooleanSupplier good) {
        try {
            reset();
            Launch launch = method.bind(kernels, operands(method));
            launch.enqueue(lane);
            if (method.narrow()) {
                NarrowGradients.launch(kernels, grids, List.of(summand())).enqueue(lane);
            }
            return good.getAsBoolean() ? launch : null;
        } catch (jcuda.CudaException | CudaException e) {
            requireHarmless(method, e);
            broken.add(method);
            return null;
        }
    }

    private void requireHarmless(ConvolutionMethod method, RuntimeException failure) {
        if (CudaCalls.isFatal(failure)) {
            throw health.note(
                    failure instanceof jcuda.CudaException called
                            ? CudaCalls.failure("try method " + method.name() + " for " + problem.key(), called)
                            : (CudaException) failure);
        }
    }

    /**
     * Milliseconds of one run, adding a narrow gradient not included, or nothing if the method does not work, is wrong,
     * or cannot be recorded.
     *
     * @param least what another method takes; infinite if there is none
     * @throws CudaException if the method has broken the device
     */
    OptionalDouble milliseconds(ConvolutionMethod method, double least) {
        Launch launch = broken.contains(method) ? null : run(method, () -> agrees(method.name()));
        if (launch == null) {
            return OptionalDouble.empty();
        }
        try (Recording runs = Recording.of(lane.stream(), () -> repeat(launch))) {
            double fastest = Double.POSITIVE_INFINITY;
            for (int round = 0; round < ROUNDS; round++) {
                double elapsed = elapsed(runs);
                fastest = Math.min(fastest, elapsed / RUNS_OF_ROUND);
                if (elapsed > LONG_ROUND_MILLISECONDS || fastest > HOPELESS * least) {
                    break;
                }
            }
            return OptionalDouble.of(fastest);
        } catch (jcuda.CudaException | CudaException e) {
            requireHarmless(method, e);
            return OptionalDouble.empty();
        }
    }

    private NarrowGradients.Summand summand() {
        return new NarrowGradients.Summand(block.address() + result, block.address() + narrowResult, resultElements);
    }

    private Operands operands(ConvolutionMethod method) {
        long base = block.address();
        return new Operands(
                base + first,
                base + second,
                base + (method.narrow() ? narrowResult : result),
                problem.bias() ? base + bias : 0,
                problem.addend() ? base + result : 0, // where the planner puts it if it can
                base + workspace);
    }

    private void repeat(Launch launch) {
        for (int run = 0; run < RUNS_OF_ROUND; run++) {
            launch.enqueue(lane);
        }
    }

    private double elapsed(Recording runs) {
        cuEventRecord(start, lane.stream());
        runs.launch(lane.stream());
        cuEventRecord(end, lane.stream());
        cuEventSynchronize(end);
        float[] milliseconds = new float[1];
        cuEventElapsedTime(milliseconds, start, end);
        return milliseconds[0];
    }

    @Override
    public void close() {
        scope.close();
    }
}
