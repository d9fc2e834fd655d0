package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import java.util.ArrayList;
import java.util.List;
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
 * What it costs to split a batch: the gradients of one batch, taken in k equal micro-batches that add to one pack.
 *
 * <p>The ghost batch is that of the finest split, so the answer is the same for every k; this is asserted. The price of
 * splitting is what k = 1 is faster.
 *
 * <p>A device that works on its own gets batch after batch without a wait, and {@code deviceImages}, by its own clock,
 * is the throughput; there the loss is read once per iteration.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class GradientReductionBenchmark extends DeviceClock {
    private static final int MOST_PARTS = 8;

    /** A name {@link TrainingStep#network} knows. */
    @Param({"fashion-cnn", "wide-resnet-16-4"})
    public String network = "fashion-cnn";

    /** Samples in all; a multiple of 8. */
    @Param({"128", "512"})
    public int batch;

    /** k: 1, 2, 4 or 8. */
    @Param({"1", "2", "4", "8"})
    public int microBatches;

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    /** Number format of products and activations; a backend refuses what it lacks. */
    @Param({"fp32"})
    public String precision = "fp32";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Backend backend;
    private ModelMemory model;
    private Executable part;
    private final List<Feed> feeds = new ArrayList<>();

    /** Compares with the reference backend on few samples, and the split batch with the whole one. */
    @Setup
    public void prepare() {
        if (batch % MOST_PARTS != 0 || MOST_PARTS % microBatches != 0) {
            throw new IllegalArgumentException("a batch of " + batch + " in " + microBatches
                    + " micro-batches; give a multiple of 8, and 1, 2, 4 or 8 micro-batches");
        }
        backend = Device.open(device, threads, precision);
        Network net = TrainingStep.network(network);
        ReferenceCheck.step(backend, precision, net, 4, 2);
        int ghostBatch = batch / MOST_PARTS;
        Program program = net.trainingProgram(batch / microBatches, ghostBatch, 0, backend.fusions());
        model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED);
        try (LoweredProgram lowered = backend.lower(program)) {
            part = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
        }
        FixedBatch whole = FixedBatch.noise(net, batch, 11);
        for (int i = 0; i < microBatches; i++) {
            feeds.add(whole.part(i * (batch / microBatches), batch / microBatches));
        }
        accumulate();
        StepMetrics.Sums sums = read();
        ReferenceCheck.requireClose(
                network + " in " + microBatches + " micro-batches",
                precision,
                ReferenceCheck.gradients(backend, net, batch, ghostBatch),
                new ReferenceCheck.Result(program.parameters(), ReferenceCheck.read(model.gradients()), sums.loss()));
        timer = backend.timer();
    }

    /** Reports the images per second by the device's clock, if it has one. */
    @TearDown(Level.Iteration)
    public void report() {
        timer.ifPresent(running -> Gauges.report("deviceImages", imagesPerSecond(running), "images/s"));
    }

    private void accumulate() {
        for (int i = 0; i < feeds.size(); i++) {
            part.run(feeds.get(i));
        }
    }

    private double imagesPerSecond(DeviceTimer running) {
        running.stop();
        double seconds = running.seconds();
        double loss = read().loss();
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the summed loss of an iteration is " + loss);
        }
        return enqueued * batch / seconds;
    }

    private StepMetrics.Sums read() {
        StepMetrics.Sums sums = backend.metrics().read();
        backend.metrics().clear();
        return sums;
    }

    /**
     * The timed sum of gradients; clears them first, as an update would leave them. Returns the loss, if it is read.
     */
    @Benchmark
    public double gradients(Rate.Images rate) {
        model.gradients().clear();
        rate.images += batch;
        accumulate();
        if (timer.isEmpty()) {
            return read().loss();
        }
        enqueued++;
        return 0;
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        timer.ifPresent(DeviceTimer::close);
        part.close();
        model.close();
        backend.close();
    }
}
