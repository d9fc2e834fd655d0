package io.crescendo.bench;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Feed;
import io.crescendo.models.Models;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
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
 * One whole training step per batch size: forward, backward, SGD with momentum 0.9 and weight decay 5e-4, loss read.
 *
 * <p>The batch lies in memory, as in the peers' measurements; {@code images} is the throughput in images per second.
 * Batch-norm statistics are taken over {@code ghostBatch} samples, 0 meaning the whole batch as in the peers.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(value = 1)
@Warmup(iterations = 3, time = 3)
@Measurement(iterations = 7, time = 3)
public class TrainingStepBenchmark {
    /** Throughput in images per second, reported beside the steps per second. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Throughput {
        /** Images trained on. */
        public long images;

        /** Starts every iteration at zero. */
        @Setup(Level.Iteration)
        public void reset() {
            images = 0;
        }
    }

    /** A name {@link Models} knows. */
    @Param({"fashion-cnn", "wide-resnet-16-4"})
    public String network = "fashion-cnn";

    /** Samples per update. */
    @Param({"8", "32", "128", "512", "2048"})
    public int batch;

    /** Samples per batch-norm statistic; 0 for the whole batch. */
    @Param({"0"})
    public int ghostBatch;

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Backend backend;
    private TrainingStep step;
    private Feed feed;

    /** Prepares the step and asserts that training on the fixed batch lowers its loss. */
    @Setup
    public void prepare() {
        Network net = TrainingStep.network(network);
        backend = Backends.open(device, new BackendOptions(threads));
        step = new TrainingStep(backend, net, batch, ghostBatch, Optimizer.momentum(TrainingStep.WEIGHT_DECAY));
        feed = FixedBatch.noise(net, batch, 7).feed();
        step.assertLearns(feed);
    }

    /** The timed step; returns the loss so that nothing can be skipped. */
    @Benchmark
    public double step(Throughput throughput) {
        throughput.images += batch;
        return step.run(feed);
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        step.close();
        backend.close();
    }
}
