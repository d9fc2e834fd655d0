package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.BatchUse;
import io.crescendo.train.Step;
import io.crescendo.train.Steps;
import java.util.List;
import java.util.Optional;
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
 * What it costs to raise the batch, beside one update at either.
 *
 * <p>{@code switchAndFirstUpdate} less {@code updateAfter} is the cost of growing: whatever only the first update at
 * the new batch pays, preparing, binding and touching new memory. {@code switchBatch} is the part of it before the
 * update begins.
 *
 * <p>Each measurement is one shot in a process of its own: a second switch would find compiled primitives in the
 * library's cache. Eleven updates on the first batch come before it, and must lower its loss. {@code ahead} says
 * whether the next batch was announced, as a plan does, and prepared on another thread while those updates ran.
 * Afterwards, loss and gradients at the batch last used are compared with those of a program that never saw another
 * batch, from the same weights.
 *
 * <p>An update ends when its loss can be read. {@code deviceMillis} is the same by the device's clock, if it has one.
 *
 * <pre>{@code
 * java -jar bench/target/benchmarks.jar BatchGrowth -p network=wide-resnet-16-4 -p from=32 -p ahead=true
 * }</pre>
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(value = 5)
@Warmup(iterations = 0)
@Measurement(iterations = 1)
public class BatchGrowthBenchmark {
    private static final int SAMPLES = 16_384;
    private static final int UPDATES_BEFORE = 11;
    private static final long SEED = 1;

    /** A name {@link io.crescendo.models.Models} knows. */
    @Param({"fashion-cnn", "wide-resnet-16-4"})
    public String network = "fashion-cnn";

    /** The batch before. */
    @Param({"32", "160"})
    public int from;

    /** How many times larger the next is; the paper's factor. */
    @Param({"5"})
    public int factor;

    /** Samples per batch-norm statistic. */
    @Param({"32"})
    public int ghostBatch;

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    /** Number format of products and activations; a backend refuses what it lacks. */
    @Param({"fp32"})
    public String precision = "fp32";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Network net;
    private Backend backend;
    private Optional<DeviceTimer> timer = Optional.empty();
    private ModelMemory model;
    private UpdateKernel update;
    private Steps steps;
    private BatchStream stream;
    private long updates;
    private int present;

    /** Opens the device and compares one step with the reference backend. */
    @Setup
    public void open() {
        net = TrainingStep.network(network);
        Dataset data =
                new RandomDataset(SAMPLES, net.classes(), new ImageShape(net.channels(), net.height(), net.width()), 7);
        backend = Device.open(device, threads, precision);
        ReferenceCheck.step(backend, precision, net, 4, 2);
        timer = backend.timer();
        Program layout = net.inferenceProgram(1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, layout, TrainingStep.WEIGHTS_SEED);
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        steps = new Steps(backend, net, model, ghostBatch, 0, Long.MAX_VALUE);
        stream = new BatchStream(data, Normalization.of(data), Augmentation.NONE, SEED);
    }

    /** A run that is about to raise its batch. */
    @State(Scope.Benchmark)
    public static class Growing {
        /** Whether the next batch was prepared in the background. */
        @Param({"true", "false"})
        public boolean ahead;

        /** Trains on the first batch and waits until the next is prepared, if it was announced. */
        @Setup
        public void train(BatchGrowthBenchmark benchmark) throws InterruptedException {
            benchmark.train(ahead);
        }
    }

    /** A run that goes on with its first batch. */
    @State(Scope.Benchmark)
    public static class Steady {
        /** Trains on the first batch. */
        @Setup
        public void train(BatchGrowthBenchmark benchmark) throws InterruptedException {
            benchmark.train(false);
        }
    }

    /** A run that has raised its batch two updates ago. */
    @State(Scope.Benchmark)
    public static class Grown {
        /** Trains on the first batch and twice on the second, whose memory is then no longer new. */
        @Setup
        public void train(BatchGrowthBenchmark benchmark) throws InterruptedException {
            benchmark.train(false);
            benchmark.update(benchmark.next());
            benchmark.update(benchmark.next());
        }
    }

    /** Starts the device's clock. */
    @Setup(Level.Iteration)
    public void start() {
        timer.ifPresent(DeviceTimer::start);
    }

    /** Reports the time by the device's clock, if it has one, from the end of the work before; waits for the device. */
    @TearDown(Level.Iteration)
    public void report() {
        timer.ifPresent(running -> {
            running.stop();
            Gauges.report("deviceMillis", 1e3 * running.seconds(), "ms/op");
        });
    }

    private int next() {
        return from * factor;
    }

    private void train(boolean ahead) throws InterruptedException {
        BatchUse now = new BatchUse(from, UPDATES_BEFORE, 0, (UPDATES_BEFORE - 1L) * from);
        long grows = (long) UPDATES_BEFORE * from;
        steps.expect(ahead ? List.of(now, new BatchUse(next(), 1, grows, grows)) : List.of(now));
        double first = update(from);
        double last = first;
        for (int i = 1; i < UPDATES_BEFORE; i++) {
            last = update(from);
        }
        if (!(last < first)) {
            throw new IllegalStateException(UPDATES_BEFORE + " updates must lower the loss, but it went from " + first
                    + " to " + last + "; a wrong step is not worth timing");
        }
        while (ahead && !steps.isPrepared(next())) {
            Thread.sleep(1);
        }
    }

    private Step step(int batch) {
        present = batch;
        return steps.forBatch(batch);
    }

    private double update(int batch) {
        step(batch).run(stream, 0, 0, SEED, () -> {});
        update.apply(new UpdateScalars(
                TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM, 1.0 / batch, TrainingStep.WEIGHT_DECAY, ++updates));
        // After the update, so that a device that works on its own is waited for to its end.
        double loss = backend.metrics().read().loss() / batch;
        backend.metrics().clear();
        return loss;
    }

    /** The switch alone. */
    @Benchmark
    public Step switchBatch(Growing growing) {
        return step(next());
    }

    /** The switch and the first update at the next batch, which touches new memory. */
    @Benchmark
    public double switchAndFirstUpdate(Growing growing) {
        return update(next());
    }

    /** One update more at the batch before: what a switch should cost less than. */
    @Benchmark
    public double updateBefore(Steady steady) {
        return update(from);
    }

    /** The third update at the next batch: what every update there costs. */
    @Benchmark
    public double updateAfter(Grown grown) {
        return update(next());
    }

    /** Compares what the batch last used computes with a program of its own, and releases the device. */
    @TearDown
    public void close() {
        requireFresh();
        timer.ifPresent(DeviceTimer::close);
        stream.close();
        steps.close();
        update.close();
        model.close();
        backend.close();
    }

    private void requireFresh() {
        model.gradients().clear();
        step(present).run(stream, 0, 0, SEED, () -> {});
        double loss = backend.metrics().read().loss();
        backend.metrics().clear();
        Batch samples = stream.next(0, 0, present);
        Feed feed = new Feed(samples.images(), samples.labels(), samples.size(), samples.firstSample(), SEED);
        ReferenceCheck.Result fresh =
                ReferenceCheck.gradients(backend, net, ghostBatch, feed, ReferenceCheck.read(model.weights()));
        ReferenceCheck.requireClose(
                network + ", batch " + present + " in a process that trained on " + from + " before",
                precision,
                fresh,
                new ReferenceCheck.Result(fresh.pack(), ReferenceCheck.read(model.gradients()), loss));
    }
}
