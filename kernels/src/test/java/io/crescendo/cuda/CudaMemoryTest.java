package io.crescendo.cuda;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.BackendProvider.Availability;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.LibraryReport.Entry;
import io.crescendo.backend.Precision;
import io.crescendo.backend.Rig;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Packs in the device's order, the workspace's accounts, and what is said about devices. */
@NullMarked
@Tag("cuda")
class CudaMemoryTest {
    private static final int NOT_SUPPORTED = 801;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);
    private CudaTestEnvironment cuda = CudaTestEnvironment.open();

    @BeforeEach
    void reset() {
        cuda = CudaTestEnvironment.open();
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(seed);
    }

    private CudaBackend open(Precision precision) {
        return new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withPrecision(precision));
    }

    /** Vectors, a filter that is reordered, one that need not be. */
    private static ParameterPack pack() {
        ParameterPack.Builder builder = ParameterPack.builder();
        builder.add("bias", Shape.of(5), Role.BIAS, Initializer.constant(0));
        builder.add("filter", Shape.of(7, 3, 5, 2), Role.WEIGHT, Initializer.constant(0));
        builder.add("pointwise", Shape.of(6, 11, 1, 1), Role.WEIGHT, Initializer.constant(0));
        builder.add("last", Shape.of(2, 3, 3, 3), Role.WEIGHT, Initializer.constant(0));
        return builder.build();
    }

    @Test
    void packsLookAsIfTheyWereInLogicalOrder() {
        ParameterPack pack = pack();
        try (CudaBackend backend = open(Precision.FP32);
                CudaDeviceMemory memory = backend.allocate(pack)) {
            float[] mirror = new float[Math.toIntExact(pack.elements())];
            // Ranges that begin and end anywhere, also inside a reordered tensor.
            for (int i = 0; i < 40; i++) {
                int from = random.nextInt(mirror.length);
                float[] part = new float[random.nextInt(mirror.length - from + 1)];
                for (int j = 0; j < part.length; j++) {
                    part[j] = random.nextFloat();
                    mirror[from + j] = part[j];
                }
                memory.write(from, part);
                int start = random.nextInt(mirror.length);
                float[] read = new float[random.nextInt(mirror.length - start + 1)];
                memory.read(start, read);
                float[] expected = Arrays.copyOfRange(mirror, start, start + read.length);
                assertArrayEquals(expected, read, "seed " + seed + ", from " + start);
            }
            assertArrayEquals(mirror, Rig.read(memory), "seed " + seed);
        }
    }

    @Test
    void aFilterLiesWithItsChannelsSideBySide() {
        ParameterPack pack = pack();
        Parameter filter = pack.parameters().get(1);
        try (CudaBackend backend = open(Precision.BF16);
                CudaDeviceMemory memory = backend.allocate(pack)) {
            memory.addShadow();
            float[] values = new float[Math.toIntExact(filter.shape().elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = i; // below 256 bf16 is exact
            }
            memory.write(filter.offset(), values);
            float[] onDevice = new float[values.length];
            backend.transfer().read(memory.address() + Float.BYTES * filter.offset(), onDevice);
            float[] shadow = new float[values.length];
            backend.transfer().readBf16(memory.shadowAddress() + Short.BYTES * filter.offset(), shadow);
            int at = 0;
            for (int k = 0; k < 7; k++) {
                for (int pixel = 0; pixel < 10; pixel++) {
                    for (int c = 0; c < 3; c++) {
                        assertEquals((k * 3 + c) * 10 + pixel, onDevice[at], "element " + at);
                        at++;
                    }
                }
            }
            assertArrayEquals(onDevice, shadow);
        }
    }

    @Test
    void theWorkspaceHoldsWhatItSays() {
        StandIns standIns = cuda.standIns();
        try (CudaBackend backend = open(Precision.FP32)) {
            CudaWorkspace workspace = backend.workspace();
            long before = standIns.usedBytes();
            long free = backend.freeBytes().orElseThrow();
            long most = 0;
            long address = workspace.address();
            for (int i = 0; i < 20; i++) {
                long bytes = (long) (random.nextDouble() * (100 << 20));
                if (random.nextBoolean()) {
                    workspace.reserve(bytes);
                    assertTrue(workspace.capacityBytes() >= bytes);
                } else {
                    workspace.shrink(bytes);
                    assertTrue(workspace.capacityBytes() < bytes + (2 << 20), "rounded up to whole pages, no more");
                }
                most = Math.max(most, workspace.capacityBytes());
                String what = "seed " + seed + ", step " + i;
                assertEquals(workspace.capacityBytes(), standIns.usedBytes() - before, what);
                assertEquals(
                        workspace.capacityBytes(), free - backend.freeBytes().orElseThrow(), what);
                assertEquals(most, workspace.peakBytes(), what);
                assertEquals(address, workspace.address(), what);
            }
            standIns.memory(standIns.usedBytes() + (8 << 20));
            long held = workspace.capacityBytes();
            DeviceMemoryException refused =
                    assertThrows(DeviceMemoryException.class, () -> workspace.reserve(held + (32 << 20)));
            assertTrue(String.valueOf(refused.getMessage()).contains("--memory-budget"), refused.getMessage());
            long all = held + (8 << 20);
            assertEquals((long) (0.9 * all), refused.availableBytes().orElseThrow(), "a tenth is for other things");
            assertEquals(held, workspace.capacityBytes());
        }
    }

    @Test
    void whereMappingIsOfferedButRefusedTheWorkspaceMoves() {
        StandIns standIns = cuda.standIns();
        for (String call : List.of("cuMemAddressReserve", "cuMemCreate", "cuMemMap", "cuMemSetAccess")) {
            standIns.fail(call, 1, NOT_SUPPORTED);
            try (CudaBackend backend = open(Precision.FP32)) {
                assertTrue(standIns.failed(), call);
                backend.workspace().reserve(1000);
                assertEquals(1000, backend.workspace().capacityBytes(), call + ": no pages, a block of this size");
                backend.workspace().shrink(10);
                assertEquals(10, backend.workspace().capacityBytes());
                assertEquals(1000, backend.workspace().peakBytes());
            }
        }
    }

    @Test
    void otherPacksThanTheProgramsAreRefused() {
        try (CudaBackend backend = open(Precision.FP32);
                DeviceMemory memory = backend.allocate(10)) {
            assertThrows(IllegalArgumentException.class, () -> memory.read(8, new float[3]));
            assertThrows(IllegalArgumentException.class, () -> memory.write(-1, new float[3]));
            assertThrows(IllegalArgumentException.class, () -> backend.allocate(-1));
        }
    }

    @Test
    void theDeviceIsDescribed() {
        Availability available = CudaBackendProvider.availability(cuda.machine());
        assertTrue(available.available(), available.detail());
        assertTrue(available.summary().contains("compute capability"), available.summary());
        try (CudaBackend backend = open(Precision.TF32)) {
            assertTrue(backend.description().contains("cuDNN 9."), backend.description());
            assertTrue(backend.description().endsWith("tf32"), backend.description());
            assertTrue(backend.memoryBytes().orElseThrow() > 0);
        }
        assertTrue(
                CudaLibraryReport.entries(cuda.machine()).stream()
                        .map(Entry::name)
                        .anyMatch("device 0"::equals),
                () -> CudaLibraryReport.entries(cuda.machine()).toString());
    }

    @Test
    void anOldDeviceIsNotAvailableAndSaysWhatIsNeeded() {
        cuda.standIns().attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 7);
        String needed = "needs compute capability 8.0 (Ampere) or newer";
        Availability old = CudaBackendProvider.availability(cuda.machine());
        assertFalse(old.available());
        assertTrue(old.summary().contains(needed), old.summary());
        assertTrue(
                CudaLibraryReport.entries(cuda.machine()).stream()
                        .anyMatch(entry -> entry.name().equals("device 0")
                                && entry.detail().contains(needed)),
                () -> CudaLibraryReport.entries(cuda.machine()).toString());
    }

    /** Another process has all memory, or the device for itself. */
    @ParameterizedTest
    @CsvSource({"2, CUDA_ERROR_OUT_OF_MEMORY", "46, CUDA_ERROR_DEVICE_UNAVAILABLE"})
    void aDeviceThatOthersKeepIsNotAvailable(int status, String name) {
        cuda.standIns().fail("cuDevicePrimaryCtxRetain", 1, status);
        Availability kept = CudaBackendProvider.availability(cuda.machine());
        assertFalse(kept.available());
        assertTrue(kept.summary().startsWith("cannot open") && kept.summary().contains(name), kept.summary());
        assertTrue(CudaBackendProvider.availability(cuda.machine()).available(), "and is asked again");
    }

    @Test
    void autoTakesTheDeviceOrSaysInOneLineWhyNot() {
        Backends.Choice choice = Backends.choose("auto");
        if (!choice.provider().name().equals("cuda")) {
            assertTrue(
                    choice.passedOver().stream()
                            .anyMatch(line -> line.startsWith("not on cuda: ") && !line.contains("\n")),
                    choice.toString());
            String message = String.valueOf(
                    assertThrows(IllegalStateException.class, () -> Backends.open("cuda", BackendOptions.DEFAULT))
                            .getMessage());
            assertTrue(message.contains("searched"), message);
        }
    }

    @Test
    void whyThereIsNoDeviceIsOneLineAndThenTheWholeList() {
        Machine empty = new Machine(Path.of("/nowhere"), Map.of(), Path.of("/nowhere"), Machine.SUPPORTED);
        Availability missing = CudaBackendProvider.availability(empty);
        assertFalse(missing.available());
        assertTrue(missing.summary().contains("libcuda.so.1"), missing.summary());
        assertTrue(missing.detail().contains("searched"), missing.detail());
        assertTrue(missing.detail().contains("pip install"), missing.detail());
    }
}
