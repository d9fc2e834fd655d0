package io.crescendo.cuda;

import java.nio.file.Path;
import jcuda.driver.CUstream;

/** The hand-written kernels of {@code src/main/cuda}, loaded into a device. */
@SuppressWarnings("DoNotCallSuggester") // a placeholder
final class Kernels implements AutoCloseable {
    private Kernels() {}

    /**
     * Builds the kernels for a device if need be, and loads them into the current context.
     *
     * @param cache directory for what was built
     */
    static Kernels load(DeviceProperties device, Path cache) {
        throw new CudaException("the kernels cannot be loaded into " + device + " with cache " + cache + " yet");
    }

    /**
     * Packs the arguments of a launch.
     *
     * @param name for example {@code relu_f32}
     * @param arguments {@link Long} for pointers and {@code long long}, {@link Integer} for {@code int} and
     *     {@code unsigned}, {@link Float} for {@code float}
     */
    Call call(String name, int gridX, int gridY, Object... arguments) {
        throw new CudaException("no kernel " + name + gridX + gridY + arguments.length);
    }

    /** A launch with its arguments. */
    static final class Call {
        private Call() {}

        /** Puts the launch on a stream; allocates nothing. */
        void enqueue(CUstream stream) {
            throw new CudaException("nothing to put on " + stream);
        }
    }

    @Override
    public void close() {}
}
