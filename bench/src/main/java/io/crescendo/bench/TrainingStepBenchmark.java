package io.crescendo.bench;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.models.Models;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.SplittableRandom;
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
    private ModelMemory model;
    private Executable step;
    private UpdateKernel update;
    private Feed feed;
    private long updates;

    /** Prepares the step and asserts that training on the fixed batch lowers its loss. */
    @Setup
    public void prepare() {
        Network net = network.startsWith("fashion")
                ? Models.named(network, 1, 28, 28, 10)
                : Models.named(network, 3, 32, 32, 10);
        backend = Backends.open(device, new BackendOptions(threads));
        var program = net.trainingProgram(batch, ghostBatch == 0 ? batch : ghostBatch, 0, backend.fusions());
        model = ModelMemory.allocate(backend, program, 1);
        try (LoweredProgram lowered = backend.lower(program)) {
            step = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
        }
        Optimizer optimizer = Optimizer.momentum(5e-4);
        update = backend.prepareUpdate(optimizer.rule(), model, program.parameters(), optimizer.decay());
        feed = randomFeed(net);
        double first = train();
        double last = first;
        for (int i = 0; i < 10; i++) {
            last = train();
        }
        if (!(last < first)) {
            throw new IllegalStateException("ten updates on one batch must lower its loss, but it went from " + first
                    + " to " + last + "; a wrong step is not worth timing");
        }
    }

    /** The timed step; returns the loss so that nothing can be skipped. */
    @Benchmark
    public double step(Throughput throughput) {
        throughput.images += batch;
        return train();
    }

    private double train() {
        step.run(feed);
        double loss = backend.metrics().read().loss() / batch;
        backend.metrics().clear();
        update.apply(new UpdateScalars(0.01, 0.9, 1.0 / batch, 5e-4, ++updates));
        return loss;
    }

    private Feed randomFeed(Network net) {
        SplittableRandom random = new SplittableRandom(7);
        FloatBuffer images = ByteBuffer.allocateDirect(
                        Math.multiplyExact(4 * batch, net.channels() * net.height() * net.width()))
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        for (int i = 0; i < images.capacity(); i++) {
            images.put(i, (float) random.nextDouble(-1.7, 1.7));
        }
        IntBuffer labels = ByteBuffer.allocateDirect(4 * batch)
                .order(ByteOrder.nativeOrder())
                .asIntBuffer();
        for (int i = 0; i < batch; i++) {
            labels.put(i, random.nextInt(net.classes()));
        }
        return new Feed(images, labels, batch, 0, 1);
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        step.close();
        update.close();
        model.close();
        backend.close();
    }
}
