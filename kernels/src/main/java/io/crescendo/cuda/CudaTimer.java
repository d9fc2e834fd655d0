package io.crescendo.cuda;

import static jcuda.driver.CUevent_flags.CU_EVENT_DEFAULT;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;

import io.crescendo.backend.DeviceTimer;
import jcuda.driver.CUevent;

/** Two events on the compute stream. */
final class CudaTimer implements DeviceTimer {
    private final CudaDevice device;
    private final CudaScope scope;
    private final CUevent begin;
    private final CUevent end;
    private boolean started;
    private boolean stopped;

    CudaTimer(CudaDevice device, CudaScope scope) {
        this.device = device;
        this.scope = scope;
        begin = event();
        end = event();
    }

    private CUevent event() {
        CUevent event = new CUevent();
        cuEventCreate(event, CU_EVENT_DEFAULT);
        scope.onClose(() -> cuEventDestroy(event));
        return event;
    }

    @Override
    public void start() {
        device.enter();
        CudaCalls.run(() -> "start a timer", () -> cuEventRecord(begin, device.stream()));
        started = true;
        stopped = false;
    }

    @Override
    public void stop() {
        if (!started) {
            throw new IllegalStateException("this timer was not started");
        }
        device.enter();
        CudaCalls.run(() -> "stop a timer", () -> cuEventRecord(end, device.stream()));
        stopped = true;
    }

    @Override
    public double seconds() {
        if (!stopped) {
            throw new IllegalStateException("this timer was not stopped");
        }
        device.enter();
        float[] milliseconds = new float[1];
        try {
            cuEventSynchronize(end);
            cuEventElapsedTime(milliseconds, begin, end);
        } catch (jcuda.CudaException e) {
            throw device.health().note(CudaCalls.failure("read a timer", e));
        }
        return milliseconds[0] * 1e-3;
    }

    @Override
    public void close() {
        device.enterToClose();
        scope.close();
    }
}
