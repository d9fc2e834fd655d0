package io.crescendo.cuda;

import static jcuda.driver.CUevent_flags.CU_EVENT_DEFAULT;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuMemsetD8Async;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;

import io.crescendo.cuda.ConvolutionMethod.Lane;
import io.crescendo.cuda.ConvolutionMethod.Operands;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.OptionalDouble;
import jcuda.driver.CUevent;

/**
 * Measures how long methods take for one convolution, on temporary memory and a stream that no step uses.
 *
 * <p>The memory holds zeros; how fast a convolution is does not depend on the numbers, as far as choosing goes.
 */
final class MethodTimer implements AutoCloseable {
    private static final int ROUNDS = 3;
    /** Recorded together, so that what the host needs for a launch is not measured. */
    private static final int RUNS_OF_ROUND = 4;
    /** A round that is longer than this needs no second one: it has few outliers. */
    private static final double LONG_ROUND_MILLISECONDS = 20;
    /** What was so much slower than another method in one round is not the fastest. */
    private static final double HOPELESS = 1.5;

    private final ConvolutionProblem problem;
    private final Lane lane;
    private final CudaScope.Health health;
    private final CudaScope scope;
    private final CUevent start = new CUevent();
    private final CUevent end = new CUevent();
    private final DeviceBlock block;
    private long used;

    private final long first;
    private final long second;
    private final long result;
    private final long bias;
    private final long workspace;

    /**
     * Takes memory for the convolution's operands.
     *
     * @param workspaceBytes the largest workspace of the methods to be measured
     * @throws CudaException if the device has not that much memory left
     */
    MethodTimer(CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem, long workspaceBytes) {
        this.problem = problem;
        this.health = device.health();
        this.scope = device.newScope();
        this.lane = new Lane(measuring.stream(), measuring.cudnn(), device.kernels());
        long x = problem.inputElements() * problem.elementBytes();
        long y = problem.outputElements() * problem.elementBytes();
        long weight = problem.weightElements() * Float.BYTES; // as the gradient has it
        Direction direction = problem.direction();
        first = take(direction == Direction.INPUT_GRADIENT ? y : x);
        second = take(direction == Direction.WEIGHT_GRADIENT ? y : weight);
        result = take(
                switch (direction) {
                    case FORWARD -> y;
                    case INPUT_GRADIENT -> x;
                    case WEIGHT_GRADIENT -> weight;
                });
        bias = take(problem.bias() ? (long) problem.filters() * Float.BYTES : 0);
        workspace = take(workspaceBytes);
        block = scope.own(measuring.temporary(used));
        try {
            cuMemsetD8Async(block.pointer(), (byte) 0, used, lane.stream());
            cuEventCreate(start, CU_EVENT_DEFAULT);
            scope.onClose(() -> cuEventDestroy(start));
            cuEventCreate(end, CU_EVENT_DEFAULT);
            scope.onClose(() -> cuEventDestroy(end));
        } catch (RuntimeException e) {
            throw scope.closeAfter(e);
        }
    }

    private long take(long bytes) {
        long offset = used;
        used += (bytes + OpPlan.SCRATCH_ALIGNMENT - 1) / OpPlan.SCRATCH_ALIGNMENT * OpPlan.SCRATCH_ALIGNMENT;
        return offset;
    }

    /**
     * Milliseconds of one run, or nothing if the method does not work, or cannot be recorded.
     *
     * @param least what another method takes; infinite if there is none
     * @throws CudaException if the method has broken the device
     */
    OptionalDouble milliseconds(ConvolutionMethod method, double least) {
        try {
            Launch launch = method.bind(lane, operands());
            launch.enqueue(); // loads code, and shows whether it works at all
            cuStreamSynchronize(lane.stream());
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
            }
        } catch (jcuda.CudaException e) {
            if (CudaCalls.isFatal(e)) {
                throw health.note(CudaCalls.failure("try method " + method.name() + " for " + problem.key(), e));
            }
            return OptionalDouble.empty();
        } catch (CudaException e) {
            if (CudaCalls.isFatal(e)) {
                throw health.note(e);
            }
            return OptionalDouble.empty();
        }
    }

    private Operands operands() {
        long base = block.address();
        return new Operands(
                base + first,
                base + second,
                base + result,
                problem.bias() ? base + bias : 0,
                problem.addend() ? base + result : 0, // where the planner puts it if it can
                base + workspace);
    }

    private static void repeat(Launch launch) {
        for (int run = 0; run < RUNS_OF_ROUND; run++) {
            launch.enqueue();
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
