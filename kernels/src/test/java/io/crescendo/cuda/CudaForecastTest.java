package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import io.crescendo.memory.MemoryRequirements;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A forecast says what a device says, but for scratch memory that only a device knows. */
class CudaForecastTest {
    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());

    @Tag("cuda")
    @ParameterizedTest
    @EnumSource(Precision.class)
    void sizesAreThoseOfADevice(Precision precision) {
        BackendOptions options = BackendOptions.DEFAULT.withPrecision(precision);
        try (CudaBackend device = new CudaBackend(CudaTestEnvironment.open().machine(), options);
                Backend forecast = new CudaForecast(options)) {
            assertEquals(device.fusions(), forecast.fusions());
            for (NetworkCase network : NetworkCase.networks(new Random(seed))) {
                Program program = network.training(device.fusions());
                try (LoweredProgram real = device.lower(program);
                        LoweredProgram foretold = forecast.lower(program)) {
                    compare(program, real.requirements(), foretold.requirements());
                }
            }
        }
    }

    private void compare(Program program, MemoryRequirements real, MemoryRequirements foretold) {
        for (Value value : program.values()) {
            if (value.home() == Home.ARENA) {
                assertEquals(real.bytes(value), foretold.bytes(value), value + ", seed " + seed);
            }
        }
        for (int i = 0; i < program.ops().size(); i++) {
            Op op = program.ops().get(i);
            String what = program.describe(i) + ", seed " + seed;
            assertEquals(real.heldBytes(i), foretold.heldBytes(i), what);
            for (Value input : op.overwritable()) {
                assertEquals(real.mayOverwrite(i, input), foretold.mayOverwrite(i, input), what);
            }
            if (!onlyTheDeviceKnowsScratchOf(op)) {
                assertEquals(real.scratchBytes(i), foretold.scratchBytes(i), what);
            }
        }
    }

    /** Its libraries say what convolutions take, and its multiprocessors into how many parts sums are cut. */
    private static boolean onlyTheDeviceKnowsScratchOf(Op op) {
        return op instanceof Op.Conv2d
                || op instanceof Op.Conv2dInputGradient
                || op instanceof Op.Conv2dWeightGradient
                || op instanceof Op.DenseWeightGradient
                || op instanceof Op.GhostBatchNorm
                || op instanceof Op.GhostBatchNormGradient;
    }

    /** Those of the methods that were the fastest on an H100, which need 16 bytes for themselves. */
    @Test
    void convolutionsTakeWhatTheyTookOnAnH100() {
        assertEquals(21_118_992 - 16, bytes(Precision.FP32, convolution(Precision.FP32, 64, 32)));
        assertEquals(11_075_600 - 16, bytes(Precision.FP32, convolution(Precision.FP32, 128, 16)));
        assertEquals(0, bytes(Precision.TF32, convolution(Precision.TF32, 64, 32)));
        assertEquals(0, bytes(Precision.BF16, convolution(Precision.BF16, 64, 32)));
    }

    private static long bytes(Precision precision, ConvolutionProblem problem) {
        try (CudaForecast forecast = new CudaForecast(BackendOptions.DEFAULT.withPrecision(precision));
                Target.Method method = forecast.method(problem)) {
            return method.workspaceBytes();
        }
    }

    private static ConvolutionProblem convolution(Precision precision, int channels, int extent) {
        return new ConvolutionProblem(
                Direction.FORWARD,
                precision,
                40,
                channels,
                extent,
                extent,
                channels,
                extent,
                extent,
                3,
                3,
                1,
                1,
                1,
                1,
                1,
                false,
                false,
                false);
    }

    @Test
    void nothingRunsThere() {
        try (Backend forecast = new CudaForecast(BackendOptions.DEFAULT)) {
            IllegalStateException refused = assertThrows(IllegalStateException.class, () -> forecast.allocate(1));
            assertTrue(String.valueOf(refused.getMessage()).startsWith("cannot allocate memory: "), refused::toString);
        }
    }
}
