package io.crescendo.bench;

import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.Feed;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.optim.Optimizer;
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
 * Batch norm with ReLU, forward and backward, over ghost batches of different sizes.
 *
 * <p>The program is as small as one with a norm can be: a 1×1 convolution from 3 to C channels in front of it, so that
 * an input gradient is asked for, and a mean over the image and a dense layer behind. {@code withNorm} less
 * {@code withoutNorm} is the norm's own time; 0 takes the statistics over the whole batch.
 *
 * <p>A device that works on its own gets step after step without a wait, and {@code deviceMicros}, by its own clock, is
 * the time of one; there the loss is read once per iteration.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class GhostBatchNormBenchmark extends DeviceClock {
    /** Samples per statistic; 0 for the whole batch. */
    @Param({"16", "32", "64", "128", "256", "0"})
    public int ghostBatch;

    /** Samples per step. */
    @Param({"512"})
    public int batch;

    /** C, the channels that are normalised. */
    @Param({"64"})
    public int channels;

    /** Rows and columns of each channel. */
    @Param({"16"})
    public int side;

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
    private TrainingStep withNorm;
    private TrainingStep withoutNorm;
    private Feed feed;

    /** Compares two ghost groups with the reference backend and prepares both programs. */
    @Setup
    public void prepare() {
        backend = Device.open(device, threads, precision);
        Network norm = network(Layer.sequence(new BatchNorm("norm"), new Relu()));
        int ghost = ghostBatch == 0 ? batch : ghostBatch;
        ReferenceCheck.step(backend, precision, norm, 2 * Math.min(ghost, 64), Math.min(ghost, 64));
        Optimizer optimizer = Optimizer.sgd(0);
        withNorm = new TrainingStep(backend, norm, batch, ghostBatch, optimizer);
        withoutNorm = new TrainingStep(backend, network(new Relu()), batch, ghostBatch, optimizer);
        feed = FixedBatch.noise(norm, batch, 7).feed();
        withNorm.assertLearns(feed);
        withoutNorm.assertLearns(feed);
        timer = backend.timer();
    }

    /** Reports the time of one step by the device's clock, if it has one. */
    @TearDown(Level.Iteration)
    public void report() {
        timer.ifPresent(running -> Gauges.report("deviceMicros", microsPerStep(running), "us/op"));
    }

    private Network network(Layer middle) {
        return new Network(
                "one-norm",
                3,
                side,
                side,
                10,
                new Conv2d("widen", channels, Window.square(1, 1, 0))
                        .then(middle)
                        .then(new GlobalAveragePool())
                        .then(new Dense("logits", 10)));
    }

    private double microsPerStep(DeviceTimer running) {
        running.stop();
        double seconds = running.seconds();
        boolean finite = Double.isFinite(backend.metrics().read().loss()); // NaN once any loss or gradient was not
        backend.metrics().clear();
        if (!finite) {
            throw new IllegalStateException("a loss or a gradient of an iteration is not finite");
        }
        return 1e6 * seconds / enqueued;
    }

    private double run(TrainingStep step) {
        if (timer.isEmpty()) {
            return step.run(feed);
        }
        enqueued++;
        step.enqueue(feed);
        return 0;
    }

    /** One step of the program with a norm. */
    @Benchmark
    public double withNorm() {
        return run(withNorm);
    }

    /** One step of the same program without it. */
    @Benchmark
    public double withoutNorm() {
        return run(withoutNorm);
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        timer.ifPresent(DeviceTimer::close);
        withNorm.close();
        withoutNorm.close();
        backend.close();
    }
}
