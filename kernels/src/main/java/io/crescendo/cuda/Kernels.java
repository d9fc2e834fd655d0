package io.crescendo.cuda;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK;
import static jcuda.driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
import static jcuda.driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
import static jcuda.driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
import static jcuda.driver.CUshared_carveout.CU_SHAREDMEM_CARVEOUT_MAX_SHARED;
import static jcuda.driver.JCudaDriver.cuCtxGetDevice;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuFuncGetAttribute;
import static jcuda.driver.JCudaDriver.cuFuncSetAttribute;
import static jcuda.driver.JCudaDriver.cuLaunchCooperativeKernel;
import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static jcuda.driver.JCudaDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor;

import com.sun.jna.Memory;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import jcuda.Pointer;
import jcuda.driver.CUdevice;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import org.jspecify.annotations.Nullable;

/**
 * The hand-written kernels of {@code src/main/cuda}, loaded into a device.
 *
 * <pre>{@code
 * Kernels kernels = Kernels.load(device.properties(), device.cache());
 * Kernels.Call relu = kernels.call("relu_f32", blocks, 1, y, x, elements); // once, when a program is bound
 * relu.enqueue(device.stream());                                          // as often as the program runs
 * }</pre>
 *
 * <p>If the jar was built where nvcc is, it holds machine code. Otherwise, and where the driver is too old for what
 * that nvcc wrote, NVRTC compiles the sources on this machine the first time.
 */
final class Kernels implements AutoCloseable {
    /** Threads of a block, for every kernel: THREADS of common.cuh. */
    static final int THREADS = 256;

    private static final int MOST_BLOCKS_BESIDE = 65_535;

    private final CUmodule module;
    private final Map<String, CUfunction> functions = new HashMap<>();
    private final Map<String, Integer> places = new HashMap<>();
    private final Map<String, Room> rooms = new HashMap<>();
    private boolean closed;

    private Kernels(CUmodule module) {
        this.module = module;
    }

    /**
     * Builds the kernels for a device if need be, and loads them into the current context.
     *
     * @param cache directory for what was built
     * @throws CudaException if the device is too old, or the driver takes neither what was built with the jar nor what
     *     was built here
     */
    static Kernels load(DeviceProperties device, Path cache) {
        KernelSources sources = KernelSources.packaged();
        Optional<byte[]> packaged = device.tooOld() ? Optional.empty() : built(sources);
        CUmodule module = new CUmodule();
        CudaException refused = null;
        if (packaged.isPresent()) {
            try {
                load(module, packaged.get(), "that come with the jar");
                return new Kernels(module);
            } catch (CudaException e) {
                // Most likely a driver older than the nvcc that built them. NVRTC is as old as the libraries in use.
                refused = e;
            }
        }
        try {
            byte[] image =
                    new KernelCompiler(sources, cache.resolve("kernels")).compile(device.major(), device.minor());
            load(module, image, "that NVRTC compiled for compute capability " + device.major() + "." + device.minor());
            return new Kernels(module);
        } catch (CudaException e) {
            if (refused != null) {
                e.addSuppressed(refused);
            }
            throw e;
        }
    }

    /** What nvcc made of exactly these sources when the jar was built. */
    private static Optional<byte[]> built(KernelSources sources) {
        try (InputStream in = Kernels.class.getResourceAsStream(sources.fatBinary())) {
            return in == null ? Optional.empty() : Optional.of(in.readAllBytes());
        } catch (IOException e) {
            throw new CudaException("the kernels in " + sources.fatBinary() + " cannot be read", e);
        }
    }

    private static void load(CUmodule module, byte[] image, String which) {
        CudaCalls.run(() -> "load the kernels " + which, () -> cuModuleLoadData(module, image));
    }

    /**
     * Packs the arguments of a launch.
     *
     * @param name for example {@code relu_f32}
     * @param gridX blocks of {@link #THREADS} threads, at least 1
     * @param gridY rows of them, at least 1 and at most 65,535
     * @param arguments {@link Long} for pointers and {@code long long}, {@link Integer} for {@code int} and
     *     {@code unsigned}, {@link Float} for {@code float}, {@code long[]} for a structure of 64-bit words
     * @throws CudaException if there is no such kernel
     */
    Call call(String name, int gridX, int gridY, Object... arguments) {
        return call(name, null, gridX, gridY, arguments);
    }

    /**
     * The same for a kernel whose blocks wait for each other: a cooperative launch, which promises that all of them run
     * at once. The driver refuses it if the device does not hold so many.
     */
    Call together(String name, Grids.Teams teams, Object... arguments) {
        return call(name, teams, teams.grid().x(), teams.grid().y(), arguments);
    }

    private Call call(String name, Grids.@Nullable Teams teams, int gridX, int gridY, Object... arguments) {
        if (gridX < 1 || gridY < 1 || gridY > MOST_BLOCKS_BESIDE) {
            throw new IllegalArgumentException("a launch of " + name + " wants 1 to 2147483647 by 1 to "
                    + MOST_BLOCKS_BESIDE + " blocks, not " + gridX + " by " + gridY);
        }
        return new Call(name, function(name), teams, gridX, gridY, arguments);
    }

    /**
     * How many blocks of a kernel a multiprocessor holds at once: its registers and shared memory decide.
     *
     * @param name for example {@code relu_f32}
     * @return at least 1
     * @throws CudaException if there is no such kernel
     */
    synchronized int blocksOfMultiprocessor(String name) {
        CUfunction function = function(name);
        return places.computeIfAbsent(name, asked -> {
            int[] blocks = new int[1];
            CudaCalls.run(
                    () -> "ask how many blocks of " + asked + " fit on a multiprocessor",
                    () -> cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, THREADS, 0));
            return Math.max(1, blocks[0]);
        });
    }

    /**
     * What a multiprocessor has for blocks of one kernel.
     *
     * @param blocks how many fit at once: registers decide
     * @param sharedBytes shared memory that each of them may have beyond what the kernel declares
     */
    record Room(int blocks, int sharedBytes) {}

    /**
     * The room for a kernel whose launches say how much shared memory a block has.
     *
     * @param name for example {@code ghost_norm_forward_f32}
     * @throws CudaException if there is no such kernel
     */
    synchronized Room room(String name) {
        CUfunction function = function(name);
        int blocks = blocksOfMultiprocessor(name);
        return rooms.computeIfAbsent(name, asked -> {
            int[] shared = new int[1];
            CudaCalls.run(() -> "ask for the shared memory of " + asked, () -> {
                int declared = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function);
                int share = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR) / blocks
                        - attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK);
                int most = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
                shared[0] = Math.max(0, Math.min(share, most) - declared);
                cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared[0]);
                cuFuncSetAttribute(
                        function, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, CU_SHAREDMEM_CARVEOUT_MAX_SHARED);
            });
            return new Room(blocks, shared[0]);
        });
    }

    private static int attribute(int which, CUfunction function) {
        int[] value = new int[1];
        cuFuncGetAttribute(value, which, function);
        return value[0];
    }

    /** Of the device whose context is current. */
    private static int attribute(int which) {
        CUdevice device = new CUdevice();
        int[] value = new int[1];
        cuCtxGetDevice(device);
        cuDeviceGetAttribute(value, which, device);
        return value[0];
    }

    private synchronized CUfunction function(String name) {
        if (closed) {
            throw new IllegalStateException("the kernels are closed; " + name + " can no longer be launched");
        }
        return functions.computeIfAbsent(name, missing -> {
            CUfunction function = new CUfunction();
            CudaCalls.run(() -> "find the kernel " + missing, () -> cuModuleGetFunction(function, module, missing));
            return function;
        });
    }

    /** A launch with its arguments. */
    static final class Call {
        private static final int SLOT_BYTES = Long.BYTES;

        private final String name;
        private final CUfunction function;
        /** Whether all blocks must run at once. */
        private final boolean together;

        private final int sharedBytes;

        private final int gridX;
        private final int gridY;
        /** Slots for the values, then a pointer to each value: what the driver wants. Outlives every launch. */
        private final Memory packed;

        /** Where each value lies in it. */
        private final long[] slots;

        private final Pointer parameters;

        private Call(
                String name,
                CUfunction function,
                Grids.@Nullable Teams teams,
                int gridX,
                int gridY,
                Object... arguments) {
            this.name = name;
            this.function = function;
            this.together = teams != null;
            this.sharedBytes = teams == null ? 0 : teams.sharedBytes();
            this.gridX = gridX;
            this.gridY = gridY;
            this.slots = new long[arguments.length];
            long slotsBytes = 0;
            for (int i = 0; i < arguments.length; i++) {
                slots[i] = slotsBytes;
                slotsBytes += (long) SLOT_BYTES * (arguments[i] instanceof long[] words ? words.length : 1);
            }
            long pointers = slotsBytes;
            this.packed = new Memory(Math.max(1, pointers + (long) SLOT_BYTES * arguments.length));
            long address = com.sun.jna.Pointer.nativeValue(packed);
            for (int i = 0; i < arguments.length; i++) {
                long slot = slots[i];
                Object argument = arguments[i];
                if (argument instanceof Long number) {
                    packed.setLong(slot, number);
                } else if (argument instanceof Integer number) {
                    packed.setInt(slot, number);
                } else if (argument instanceof Float number) {
                    packed.setFloat(slot, number);
                } else if (argument instanceof long[] words) {
                    packed.write(slot, words, 0, words.length);
                } else {
                    throw new IllegalArgumentException("argument " + i + " of " + name + " is the "
                            + argument.getClass().getSimpleName() + " " + argument
                            + "; kernels take Long (addresses too), Integer, Float and long[]");
                }
                packed.setLong(pointers + (long) SLOT_BYTES * i, address + slot);
            }
            this.parameters = DevicePointer.at(address + pointers);
        }

        /**
         * Gives a {@code long long} argument another value for the launches from now on; the driver copies arguments.
         */
        void set(int argument, long value) {
            packed.setLong(slots[argument], value);
        }

        /** Puts the launch on a stream; allocates nothing. */
        void enqueue(CUstream stream) {
            try {
                if (together) {
                    cuLaunchCooperativeKernel(
                            function, gridX, gridY, 1, THREADS, 1, 1, sharedBytes, stream, parameters);
                } else {
                    cuLaunchKernel(function, gridX, gridY, 1, THREADS, 1, 1, 0, stream, parameters, null);
                }
            } catch (jcuda.CudaException e) {
                throw CudaCalls.failure("launch " + this, e);
            }
        }

        @Override
        public String toString() {
            return name + " on " + gridX + " x " + gridY + " blocks";
        }
    }

    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            CudaCalls.run(() -> "unload the kernels", () -> cuModuleUnload(module));
        }
    }
}
