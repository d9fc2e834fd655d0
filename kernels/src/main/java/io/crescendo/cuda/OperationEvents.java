package io.crescendo.cuda;

import static jcuda.driver.CUevent_flags.CU_EVENT_DEFAULT;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;

import java.util.stream.IntStream;
import jcuda.driver.CUevent;
import jcuda.driver.CUstream;

/** Marks in a stream, one before a program's first operation and one behind each, and the time between them. */
final class OperationEvents implements AutoCloseable {
    private final CudaScope scope;
    private final CUevent[] events;

    OperationEvents(CudaDevice device, int operations) {
        scope = device.newScope();
        try {
            events = IntStream.rangeClosed(0, operations)
                    .mapToObj(i -> {
                        CUevent event = new CUevent();
                        cuEventCreate(event, CU_EVENT_DEFAULT);
                        scope.onClose(() -> cuEventDestroy(event));
                        return event;
                    })
                    .toArray(CUevent[]::new);
        } catch (RuntimeException e) {
            throw scope.closeAfter(e);
        }
    }

    /** Sets the mark behind so many operations. */
    void record(int operations, CUstream stream) {
        cuEventRecord(events[operations], stream);
    }

    /** Waits for the last mark and adds the seconds of each operation. */
    void addTo(double[] seconds) {
        cuEventSynchronize(events[events.length - 1]);
        float[] milliseconds = new float[1];
        for (int i = 0; i < seconds.length; i++) {
            cuEventElapsedTime(milliseconds, events[i], events[i + 1]);
            seconds[i] += milliseconds[0] * 1e-3;
        }
    }

    @Override
    public void close() {
        scope.close();
    }
}
