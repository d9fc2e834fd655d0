package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Loading kernels where the driver refuses what came with the jar, launching them, and timing them. */
@NullMarked
class KernelsTest {
    private static final int NO_BINARY_FOR_GPU = 209;

    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();
    private StandIns standIns = cuda.standIns();

    @TempDir
    private Path cache = Path.of("");

    @BeforeEach
    void begin() {
        standIns = cuda.standIns();
        standIns.reset();
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        assertEquals("", standIns.problem());
        assertEquals("", standIns.leaks());
        standIns.reset();
    }

    private void withDevice(Consumer<CudaBackend> test) {
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            backend.device().enter();
            test.accept(backend);
        }
    }

    /** Whether the module was built where nvcc is. */
    private static boolean builtByNvcc() {
        return Kernels.class.getResource(KernelSources.packaged().fatBinary()) != null;
    }

    @Test
    void aRefusedFatBinaryIsCompiledHereOnce() {
        withDevice(backend -> {
            DeviceProperties device = backend.device().properties();
            for (int round = 0; round < 2; round++) {
                long compiled = standIns.calls("nvrtcCompileProgram");
                if (builtByNvcc()) {
                    standIns.fail("cuModuleLoadData", 1, NO_BINARY_FOR_GPU);
                }
                try (Kernels kernels = Kernels.load(device, cache)) {
                    assertTrue(!builtByNvcc() || standIns.failed());
                    assertEquals(compiled + (round == 0 ? 1 : 0), standIns.calls("nvrtcCompileProgram"));
                    fill(backend, kernels);
                }
            }
        });
    }

    /** A kernel that is there runs with its arguments, also after one of them was changed. */
    private static void fill(CudaBackend backend, Kernels kernels) {
        try (DeviceBlock block = DeviceBlock.allocate("a test", 4L * Float.BYTES)) {
            Kernels.Call call = kernels.call("fill_f32", 1, 1, block.address(), 4L, 7f);
            call.enqueue(backend.device().stream());
            call.set(1, 2);
            float[] values = new float[4];
            backend.transfer().read(block.address(), values);
            assertEquals(7, values[3]);
            backend.transfer().write(new float[4], block.address());
            call.enqueue(backend.device().stream());
            backend.transfer().read(block.address(), values);
            assertEquals(7, values[1]);
            assertEquals(0, values[2], "only two elements the second time");
        }
    }

    @Test
    void aDeviceWithoutBf16IsRefused() {
        withDevice(backend -> {
            DeviceProperties here = backend.device().properties();
            DeviceProperties old = new DeviceProperties(
                    "old",
                    7,
                    5,
                    here.multiprocessors(),
                    here.cacheBytes(),
                    here.memoryBytes(),
                    here.driverVersion(),
                    here.mapsMemory());
            CudaException refused = assertThrows(CudaException.class, () -> Kernels.load(old, cache));
            assertTrue(String.valueOf(refused.getMessage()).contains("7.5"), refused.getMessage());
        });
    }

    @Test
    void wrongCallsAreRefusedBeforeTheyReachTheDevice() {
        withDevice(backend -> {
            Kernels kernels = backend.device().kernels();
            standIns.loud(false);
            CudaException unknown = assertThrows(CudaException.class, () -> kernels.call("no_such_kernel", 1, 1));
            assertTrue(String.valueOf(unknown.getMessage()).contains("no_such_kernel"), unknown.getMessage());
            assertThrows(IllegalArgumentException.class, () -> kernels.call("fill_f32", 0, 1, 0L, 0L, 0f));
            assertThrows(IllegalArgumentException.class, () -> kernels.call("fill_f32", 1, 65_536, 0L, 0L, 0f));
            assertThrows(IllegalArgumentException.class, () -> kernels.call("fill_f32", 1, 1, 0L, 0L, 0.0));
        });
        // Asking for a kernel that is not there counts as wrong.
        assertTrue(standIns.problem().contains("no_such_kernel"), standIns.problem());
        standIns.reset();
    }

    /** Every timed launch is a right one; what the clock says here means nothing. */
    @Test
    void kernelsCanBeTimed() {
        for (Precision precision : new Precision[] {Precision.FP32, Precision.BF16}) {
            CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withPrecision(precision));
            try (KernelTimes times = KernelTimes.open(backend, precision, 1 << 16, 1)) {
                assertEquals(2 * 1000, times.copy(1000).warm().bytes());
                for (String rule : new String[] {"sgd", "momentum", "nesterov", "adam", "adamw"}) {
                    KernelTimes.Time bare = times.update(rule, 1001).cold();
                    KernelTimes.Time clearing = times.update(rule, 1001, true).warm();
                    assertEquals(4 * 1001, clearing.bytes() - bare.bytes(), rule);
                }
                times.gradientSum(3, 1001);
                assertEquals(4 * 1001, times.gradientCheck(1001).cold().bytes());
                times.crossEntropy(3, 2049);
                times.crossEntropy(3, 10);
                times.dropout(2, 5, 2);
                NormTimes.Activation x = new NormTimes.Activation(5, 9, 3);
                for (NormTimes.Form form : NormTimes.Form.values()) {
                    times.norms().ghostForward(x, 2, form);
                    times.norms().ghostBackward(x, 2, form);
                }
                assertThrows(IllegalArgumentException.class, () -> times.update("rms", 10));
            }
        }
    }
}
