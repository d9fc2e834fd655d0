package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every CUDA kernel against its twin where the backend launches it: the comparisons of {@link CudaKernelsTest}, with
 * the kernels as the backend loads them. On stand-ins a few rounds show that the launching is right, no more.
 *
 * <p>Tolerances are those of the host. A device computes otherwise in three ways, and all stay within them:
 *
 * <ul>
 *   <li>It rounds a product and the sum it goes into once instead of twice. Errors become smaller; every bound here is
 *       one of both roundings.
 *   <li>Its rsqrtf is off by 2 units in the last place, its expf, expm1f and log1pf by 1 or 2, those of the host by 1.
 *       That is 2.4e-7 of the result: of normalised numbers, which may be off by some 1e-4, and of probabilities and
 *       logarithms, which may be off by 5e-6. Division and square root are exactly rounded on both.
 *   <li>Blocks run at once and in any order. No sum depends on it: none is made by atomic operations.
 * </ul>
 *
 * <p>Where the very bits are demanded, nothing is left to the compiler: what is moved, rounded to bf16 or compared
 * needs no arithmetic; the sums of gradients by one launch and by many, which are different code, spell out every fused
 * multiplication; and the variance of two launches comes from the same code.
 */
@NullMarked
@Tag("cuda")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CudaKernelsOnDeviceTest {
    private static final int ROUNDS = 100;
    private static final int ROUNDS_ON_STAND_INS = 8;

    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();
    private final int rounds =
            Integer.getInteger("crescendo.kernels.rounds", cuda.realDevice() ? ROUNDS : ROUNDS_ON_STAND_INS);
    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private @Nullable CudaOnDevice device;

    @BeforeAll
    void open() {
        if (!cuda.realDevice()) {
            // Of any kernel 8 blocks fit on a multiprocessor: room for four chunks in each, as much as the host has.
            cuda.standIns().attribute(StandIns.SHARED_BYTES_OF_MULTIPROCESSOR, 8 * (65 << 10));
        }
        device = CudaOnDevice.open(cuda.machine());
    }

    @AfterAll
    void close() {
        if (device != null) {
            device.close();
        }
        cuda.requireClean(seed);
    }

    private CudaOnDevice device() {
        CudaOnDevice opened = device;
        if (opened == null) {
            throw new IllegalStateException("the device was not opened");
        }
        return opened;
    }

    @ParameterizedTest
    @EnumSource
    void agrees(Comparison comparison) {
        int skipped = Comparison.compare(comparison.check, device(), seed, rounds);
        assertTrue(skipped == 0 || !device().roomForAll(), skipped + " rounds were skipped");
    }

    /** A launcher that launches nothing leaves what any comparison must notice. */
    @ParameterizedTest
    @EnumSource
    void kernelsThatDoNothingAreNoticed(Comparison comparison) {
        KernelLauncher idle = new KernelLauncher() {
            @Override
            public void launch(long order, String kernel, Grid grid, @Nullable Object... arguments) {}

            @Override
            public void launchTogether(long order, String kernel, Grids.Teams teams, @Nullable Object... arguments) {}

            @Override
            public void close() {}
        };
        AssertionError noticed =
                assertThrows(AssertionError.class, () -> Comparison.compare(comparison.check, idle, seed, ROUNDS));
        assertTrue(String.valueOf(noticed.getMessage()).contains("crescendo.seed"), noticed.getMessage());
    }

    @Test
    void wrongNumbersAndWritesOutsideAreNoticed() {
        Trial trial = new Trial(device(), new Random(seed), ElementType.F32);
        DeviceBuffer x = trial.written(1, 2, 3);
        DeviceBuffer y = trial.buffer(3);
        trial.launch("scale_f32", y, x, 2L, 2f);
        assertThrows(AssertionError.class, () -> trial.close("all", new double[] {2, 4, 6}, y, 0), "one is missing");
        trial.launch("scale_f32", y, x, 3L, 2f);
        trial.close("doubled", new double[] {2, 4, 6}, y, 0);
        assertThrows(AssertionError.class, () -> trial.close("wrong", new double[] {2, 4, 7}, y, 0));
        AssertionError overrun = assertThrows(AssertionError.class, () -> trial.launch("fill_f32", y, 4L, 2f));
        assertTrue(String.valueOf(overrun.getMessage()).contains("wrote outside argument 0"), overrun.getMessage());
    }

    @Test
    void anErrorNamesTheKernel() {
        StandIns standIns = cuda.standIns();
        Trial trial = new Trial(device(), new Random(seed), ElementType.F32);
        standIns.fail("cuLaunchKernel", 1, 701);
        AssertionError failed =
                assertThrows(AssertionError.class, () -> trial.launchGrid("fill_f32", 3, 1, trial.buffer(5), 5L, 1f));
        String all = String.valueOf(failed.getMessage());
        assertTrue(all.contains("fill_f32 on 3 x 1 blocks") && all.contains("OUT_OF_RESOURCES"), all);
    }
}
