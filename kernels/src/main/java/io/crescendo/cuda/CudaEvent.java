package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuStreamWaitEvent;

import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUstream;

/** A mark in a stream that the host or another stream can wait for. One that was never set counts as reached. */
final class CudaEvent extends CUevent implements AutoCloseable {
    CudaEvent() {
        cuEventCreate(this, CUevent_flags.CU_EVENT_DISABLE_TIMING);
    }

    long handle() {
        return getNativePointer();
    }

    /** Sets the mark behind everything that is on the stream now. */
    void record(CUstream stream) {
        cuEventRecord(this, stream);
    }

    /** The host waits. */
    void await() {
        cuEventSynchronize(this);
    }

    /** What comes on this stream from now on waits; the host does not. */
    void holdBack(CUstream stream) {
        cuStreamWaitEvent(stream, this, 0);
    }

    @Override
    public void close() {
        cuEventDestroy(this);
    }
}
