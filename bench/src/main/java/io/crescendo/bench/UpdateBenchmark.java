package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * One parameter update over a whole pack.
 *
 * <p>Bytes counted per parameter, float32: weight read and written, gradient read and written (it is cleared for the
 * next update), each number of state read and written; so 16 for SGD, 24 for momentum and Nesterov, 32 for Adam and
 * AdamW. Without the clearing, which another engine may do elsewhere, that is 12, 20 and 28. The reading that looks for
 * non-finite gradients before the first weight is written, 4 bytes more, is not counted. To be held against
 * {@link CopyBenchmark}, which counts bytes in the same way.
 *
 * <p>{@code fashion-cnn} (0.05 M parameters) and {@code wide-resnet-16-4} (2.75 M) may fit into a cache;
 * {@code dense-30m} (30 M) does not.
 *
 * <p>A device that works on its own gets update after update without a wait, and {@code deviceBytes}, by its own clock,
 * is the bandwidth.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(2)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class UpdateBenchmark extends DeviceClock {
    /** Larger packs are checked through this one: it has every kind of parameter and is shared among threads. */
    private static final String CHECKED = "wide-resnet-16-4";

    /** Whose parameters are updated. */
    @Param({"fashion-cnn", CHECKED, "dense-30m"})
    public String network = "fashion-cnn";

    /** A name {@link Optimizer#named} knows. */
    @Param({"momentum", "sgd", "nesterov", "adam", "adamw"})
    public String optimizer = "momentum";

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    /** Number format of products and activations; with bf16 the update also writes shadow weights, 2 bytes each. */
    @Param({"fp32"})
    public String precision = "fp32";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Backend backend;
    private ModelMemory model;
    private UpdateKernel update;
    private long bytes;
    private long updates;

    /** Compares the update with the reference backend's and prepares it. */
    @Setup
    public void prepare() {
        backend = Device.open(device, threads, precision);
        Optimizer formula = Optimizer.named(optimizer, TrainingStep.WEIGHT_DECAY);
        ReferenceCheck.update(backend, network(network.startsWith("dense") ? CHECKED : network), formula);
        Program program = network(network).trainingProgram(1, 1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED);
        ReferenceCheck.fill(model.gradients(), program.parameters(), SplittableRandom::new);
        update = backend.prepareUpdate(formula.rule(), model, program.parameters(), formula.decay());
        // Every number is read and written, but the bf16 weights, which are only written.
        bytes = 2 * footprintBytes(network, optimizer, precision)
                - (precision.equals("bf16") ? 2 * program.parameters().elements() : 0);
        timer = backend.timer();
    }

    /** Reports the bytes per second by the device's clock, if it has one. */
    @TearDown(Level.Iteration)
    public void report() {
        timer.ifPresent(running -> Gauges.report("deviceBytes", bytesPerSecond(running), "bytes/s"));
    }

    private double bytesPerSecond(DeviceTimer running) {
        running.stop();
        return enqueued * bytes / running.seconds();
    }

    /** Numbers in a network's pack, the gaps between parameters included. */
    public static long parameters(String network) {
        return network(network).trainingProgram(1, 1, 0, Set.of()).parameters().elements();
    }

    /** The memory an update goes through: weights, gradients, state, and with bf16 the weights' copy. */
    public static long footprintBytes(String network, String optimizer, String precision) {
        int slots = Optimizer.named(optimizer, TrainingStep.WEIGHT_DECAY).rule().stateSlots();
        return parameters(network) * (8L + 4L * slots + (precision.equals("bf16") ? 2 : 0));
    }

    private static Network network(String name) {
        // 1,024 inputs and 29,300 outputs: 30.0 million parameters.
        return name.equals("dense-30m")
                ? new Network(name, 1, 32, 32, 29_300, new Dense("logits", 29_300))
                : TrainingStep.network(name);
    }

    /** The timed update; where it is done when it returns, its metrics are read as well. */
    @Benchmark
    public Object update(Rate.Bytes rate) {
        update.apply(new UpdateScalars(
                TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM, 1, TrainingStep.WEIGHT_DECAY, ++updates));
        rate.bytes += bytes;
        enqueued++;
        return timer.isEmpty() ? backend.metrics().read() : update;
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        timer.ifPresent(DeviceTimer::close);
        update.close();
        model.close();
        backend.close();
    }
}
