package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
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
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
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
 * What it costs to raise the batch: the time from the end of the last update at one batch to the beginning of the first
 * at the next, beside one update at either.
 *
 * <p>Each measurement is one switch in a process of its own: a second one would find compiled primitives in the
 * library's cache. Eleven updates on the first batch come before it, and must lower its loss. {@code ahead} says
 * whether the next batch was announced, as a plan does, and prepared on another thread while those updates ran.
 *
 * <pre>{@code
 * java -jar bench/target/benchmarks.jar BatchGrowth -p network=wide-resnet-16-4 -p from=32 -p to=160
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

    /** Whether the next batch was prepared in the background. */
    @Param({"true", "false"})
    public boolean ahead;

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    private Backend backend;
    private ModelMemory model;
    private UpdateKernel update;
    private Steps steps;
    private BatchStream stream;
    private long updates;

    /** Trains on the first batch and waits until the next is prepared, if it was announced. */
    @Setup
    public void train() throws InterruptedException {
        Network net = TrainingStep.network(network);
        Dataset data =
                new RandomDataset(SAMPLES, net.classes(), new ImageShape(net.channels(), net.height(), net.width()), 7);
        backend = Backends.open(device, BackendOptions.DEFAULT);
        Program layout = net.inferenceProgram(1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, layout, TrainingStep.WEIGHTS_SEED);
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        steps = new Steps(backend, net, model, ghostBatch, 0, Long.MAX_VALUE);
        stream = new BatchStream(data, Normalization.of(data), Augmentation.NONE, 1);
        int to = from * factor;
        steps.expect(
                ahead
                        ? List.of(new BatchUse(from, 11, 0, 10L * from), new BatchUse(to, 1, 11L * from, 11L * from))
                        : List.of(new BatchUse(from, 11, 0, 10L * from)));
        double first = update(from);
        double last = first;
        for (int i = 0; i < 10; i++) {
            last = update(from);
        }
        if (!(last < first)) {
            throw new IllegalStateException("eleven updates must lower the loss, but it went from " + first + " to "
                    + last + "; a wrong step is not worth timing");
        }
        while (ahead && !steps.isPrepared(to)) {
            Thread.sleep(1);
        }
    }

    private double update(int batch) {
        Step step = steps.forBatch(batch);
        step.run(stream, 0, 0, 1, () -> {});
        double loss = backend.metrics().read().loss() / batch;
        backend.metrics().clear();
        update.apply(new UpdateScalars(
                TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM, 1.0 / batch, TrainingStep.WEIGHT_DECAY, ++updates));
        return loss;
    }

    /** The switch alone. */
    @Benchmark
    public Step switchBatch() {
        return steps.forBatch(from * factor);
    }

    /** The switch and the first update at the next batch, which touches new memory. */
    @Benchmark
    public double switchAndFirstUpdate() {
        return update(from * factor);
    }

    /** One update more at the batch before: what a switch should cost less than. */
    @Benchmark
    public double updateBefore() {
        return update(from);
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        stream.close();
        steps.close();
        update.close();
        model.close();
        backend.close();
    }
}
