package io.crescendo.cuda;

import static jcuda.driver.CUstream_flags.CU_STREAM_NON_BLOCKING;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;

import jcuda.driver.CUstream;

/** A stream that neither waits for the default stream nor holds it up. */
final class CudaStream extends CUstream implements AutoCloseable {
    CudaStream() {
        cuStreamCreate(this, CU_STREAM_NON_BLOCKING);
    }

    long handle() {
        return getNativePointer();
    }

    @Override
    public void close() {
        cuStreamDestroy(this);
    }
}
