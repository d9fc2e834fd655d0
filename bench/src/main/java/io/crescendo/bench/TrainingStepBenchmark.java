package io.crescendo.bench;

import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.Feed;
import io.crescendo.models.Models;
import io.crescendo.nn.Network;
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
 * One whole training step per batch size: forward, backward, update with momentum 0.9 and weight decay 5e-4, loss read.
 *
 * <p>Loss and gradients are compared with the reference backend's at batch 4 only, since its plain loops would take
 * minutes for a large one; at the batch that is timed, ten updates must lower the loss.
 *
 * <p>The batch lies in memory, as in the peers' measurements; {@code images} is the throughput in images per second.
 * Batch-norm statistics are taken over {@code ghostBatch} samples, 0 meaning the whole batch as in the peers.
 *
 * <p>A device that works on its own gets step after step without a wait, and {@code deviceImages}, by its own clock, is
 * the throughput; there the loss is read once per iteration.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(value = 1)
@Warmup(iterations = 3, time = 3)
@Measurement(iterations = 7, time = 3)
public class TrainingStepBenchmark extends DeviceClock {
    /** A name {@link Models} knows. */
    @Param({"fashion-cnn", "wide-resnet-16-4"})
    public String network = "fashion-cnn";

    /** Samples per update. */
    @Param({"8", "32", "128", "512", "2048"})
    public int batch;

    /** Samples per batch-norm statistic; 0 for the whole batch. */
    @Param({"0"})
    public int ghostBatch;

    /** A name {@link Optimizer#named} knows. */
    @Param({"momentum"})
    public String optimizer = "momentum";

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
    private TrainingStep step;
    private Feed feed;

    /** Compares gradients with the reference backend's, prepares the step and asserts that it lowers the loss. */
    @Setup
    public void prepare() {
        Network net = TrainingStep.network(network);
        backend = Device.open(device, threads, precision);
        ReferenceCheck.step(backend, precision, net, 4, 2);
        step = new TrainingStep(backend, net, batch, ghostBatch, Optimizer.named(optimizer, TrainingStep.WEIGHT_DECAY));
        feed = FixedBatch.noise(net, batch, 7).feed();
        step.assertLearns(feed);
        timer = backend.timer();
    }

    /** Reports the arena at its largest, and the images per second by the device's clock, if it has one. */
    @TearDown(Level.Iteration)
    public void report() {
        Gauges.report("workspaceMegabytes", backend.workspace().peakBytes() / 1e6, "MB");
        timer.ifPresent(running -> Gauges.report("deviceImages", imagesPerSecond(running), "images/s"));
    }

    private double imagesPerSecond(DeviceTimer running) {
        running.stop();
        double seconds = running.seconds();
        double loss = step.await();
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the last loss of an iteration is " + loss);
        }
        return enqueued * batch / seconds;
    }

    /** The timed step; returns the loss, or leaves it on the device, so that nothing can be skipped. */
    @Benchmark
    public double step(Rate.Images rate) {
        rate.images += batch;
        if (timer.isEmpty()) {
            return step.run(feed);
        }
        enqueued++;
        step.enqueue(feed);
        return 0;
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        timer.ifPresent(DeviceTimer::close);
        step.close();
        backend.close();
    }
}
