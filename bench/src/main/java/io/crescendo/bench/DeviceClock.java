package io.crescendo.bench;

import io.crescendo.backend.DeviceTimer;
import java.util.Optional;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * What benchmarks share whose device may work on while the host hands over: its clock, started with every iteration,
 * and how much was handed over since. Who opens the device sets the clock, and closes it.
 */
@State(Scope.Benchmark)
public abstract class DeviceClock {
    /** Empty where the device is the host. */
    Optional<DeviceTimer> timer = Optional.empty();

    long enqueued;

    /** Starts the device's clock. */
    @Setup(Level.Iteration)
    public void start() {
        enqueued = 0;
        timer.ifPresent(DeviceTimer::start);
    }
}
