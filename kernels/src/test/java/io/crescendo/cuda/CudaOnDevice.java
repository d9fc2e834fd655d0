package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;

import io.crescendo.backend.BackendOptions;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;

/**
 * The kernels as the backend loads them, launched by the driver: on a GPU, or on what stands in for one.
 *
 * <p>Buffers travel to the device and back with every launch, guard zones included, all in one copy.
 */
@NullMarked
final class CudaOnDevice implements KernelLauncher {
    private static final int ALIGNMENT_BYTES = 256; // of DeviceBuffer
    private static final int MEMORY_BYTES = 64 << 20; // of one launch; the largest take some 10 MB

    private final CudaDevice device;
    private final CudaScope scope;
    private final PinnedBlock host;
    private final DeviceBlock memory;

    private CudaOnDevice(CudaDevice device) {
        this.device = device;
        scope = device.newScope();
        host = scope.own(new PinnedBlock("the arguments of a kernel", MEMORY_BYTES));
        memory = scope.own(DeviceBlock.allocate("the arguments of a kernel", MEMORY_BYTES));
    }

    static CudaOnDevice open(Machine machine) {
        CudaDevice device = CudaDevice.open(machine, BackendOptions.DEFAULT);
        try {
            return new CudaOnDevice(device);
        } catch (RuntimeException e) {
            device.close();
            throw e;
        }
    }

    /** Whether no launch of the comparisons is larger than this device, by what is known of an H100. */
    boolean roomForAll() {
        return device.properties().major() == 9 && device.multiprocessors() >= 132;
    }

    @Override
    public void launch(long order, String kernel, Grid grid, @Nullable Object... arguments) {
        run(kernel, grid, values -> device.kernels().call(kernel, grid.x(), grid.y(), values), arguments);
    }

    /** Skips what is more than the device holds at once. */
    @Override
    public void launchTogether(long order, String kernel, Grids.Teams teams, @Nullable Object... arguments) {
        Grid grid = teams.grid();
        run(
                kernel,
                grid,
                values -> {
                    Kernels.Room room = device.kernels().room(kernel);
                    Assumptions.assumeTrue(
                            grid.x() * grid.y() <= room.blocks() * device.multiprocessors()
                                    && teams.sharedBytes() <= room.sharedBytes(),
                            () -> kernel + " in " + teams + " is too large for " + room + " on "
                                    + device.multiprocessors() + " multiprocessors");
                    return device.kernels().together(kernel, teams, values);
                },
                arguments);
    }

    private void run(String kernel, Grid grid, Function<Object[], Kernels.Call> call, @Nullable Object... arguments) {
        Places places = new Places();
        Object[] values = KernelLauncher.resolved(buffer -> memory.address() + places.of(buffer), arguments);
        ByteBuffer bytes = host.bytes();
        places.all.forEach((buffer, at) -> bytes.position(at).put(buffer.bytes()));
        try {
            device.enter();
            Kernels.Call launch = call.apply(values);
            cuMemcpyHtoDAsync(memory.pointer(), host.pointer(), places.end, device.stream());
            launch.enqueue(device.stream());
            cuMemcpyDtoHAsync(host.pointer(), memory.pointer(), places.end, device.stream());
            device.await();
        } catch (CudaException | jcuda.CudaException e) {
            device.health().note(e);
            throw new AssertionError(kernel + " on " + grid.x() + " x " + grid.y() + " blocks: " + e.getMessage(), e);
        }
        places.all.forEach((buffer, at) -> {
            ByteBuffer whole = buffer.bytes();
            whole.put(bytes.slice(at, whole.capacity()));
        });
        KernelLauncher.requireGuards(kernel, arguments);
    }

    /** Where the buffers of a launch lie, each once, as far from an aligned address as on the host. */
    private static final class Places {
        final Map<DeviceBuffer, Integer> all = new LinkedHashMap<>();
        int end;

        /** Of the buffer's first element. */
        long of(DeviceBuffer buffer) {
            int start = all.computeIfAbsent(buffer, added -> {
                int offset = (int) Math.floorMod(added.start(), (long) ALIGNMENT_BYTES);
                int at = (end + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES + offset;
                end = Math.addExact(at, added.bytes().capacity());
                if (end > MEMORY_BYTES) {
                    throw new IllegalStateException("a launch has more than " + MEMORY_BYTES + " bytes of buffers");
                }
                return at;
            });
            return start + buffer.address() - buffer.start();
        }
    }

    @Override
    public void close() {
        device.enterToClose();
        try {
            scope.close();
        } finally {
            device.close();
        }
    }
}
