package io.crescendo.cuda;

import java.util.Arrays;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * Launches kernels by name on buffers, and looks at the guard zones of these when they have run.
 *
 * <p>Arguments are a {@link DeviceBuffer} or null for a pointer, {@link Integer}, {@link Long} and {@link Float} for
 * the like, and {@link Words} for a structure. A launch that fails, or writes outside its buffers, is an
 * {@link AssertionError} that names the kernel.
 */
@NullMarked
interface KernelLauncher extends AutoCloseable {
    /** A structure of 64-bit words with addresses among them, which are known when a kernel is launched. */
    @FunctionalInterface
    interface Words {
        long[] at(ToLongFunction<DeviceBuffer> address);
    }

    /**
     * Launches blocks of {@link Trial#THREADS} threads and waits for them.
     *
     * @param order draws the order of blocks and threads, where somebody can choose it
     */
    void launch(long order, String kernel, Grid grid, @Nullable Object... arguments);

    /** The same cooperatively, with shared memory for what a block keeps. */
    void launchTogether(long order, String kernel, Grids.Teams teams, @Nullable Object... arguments);

    @Override
    void close();

    /**
     * The arguments as {@link Kernels#call} takes them.
     *
     * @param address where the kernel finds a buffer; also asked for those that it reaches through another
     */
    static Object[] resolved(ToLongFunction<DeviceBuffer> address, @Nullable Object... arguments) {
        return Arrays.stream(arguments)
                .map(argument -> {
                    if (argument instanceof DeviceBuffer buffer) {
                        buffer.writeAddresses(address);
                        return address.applyAsLong(buffer);
                    }
                    return argument == null ? 0L : argument instanceof Words words ? words.at(address) : argument;
                })
                .toArray();
    }

    static void requireGuards(String kernel, @Nullable Object... arguments) {
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i] instanceof DeviceBuffer buffer && !buffer.guardsHold()) {
                throw new AssertionError(kernel + " wrote outside argument " + i + ", " + buffer);
            }
        }
    }
}
