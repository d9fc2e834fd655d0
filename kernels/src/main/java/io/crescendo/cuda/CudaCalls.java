package io.crescendo.cuda;

import java.util.function.Supplier;

/** Turns JCuda's exceptions into ones that say what was being done. */
final class CudaCalls {
    private CudaCalls() {}

    /**
     * Runs calls to CUDA.
     *
     * @param doing continues "cannot", for example {@code allocate 512 bytes for the weights}; asked only on failure
     * @throws CudaException if a call fails
     */
    static void run(Supplier<String> doing, Runnable calls) {
        try {
            calls.run();
        } catch (jcuda.CudaException e) {
            throw new CudaException("cannot " + doing.get() + ": " + e.getMessage(), e);
        }
    }
}
