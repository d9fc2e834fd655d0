package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.memory.Recomputation;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.models.Models;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import org.jspecify.annotations.Nullable;

/**
 * One whole training step, prepared: forward, backward, loss read, update. Benchmarks and comparisons time this.
 *
 * <p>The step takes the whole batch at once. Closing it does not close the backend.
 */
public final class TrainingStep implements AutoCloseable {
    /** First values of the weights come from this seed, in every engine. */
    public static final long WEIGHTS_SEED = 1;

    /** The learning rate of every measured step; small enough that the loss on noise falls from the first updates. */
    public static final double LEARNING_RATE = 1e-3;

    /** The momentum of every measured step. */
    public static final double MOMENTUM = 0.9;

    /** The weight decay of every measured step. */
    public static final double WEIGHT_DECAY = 5e-4;

    private final Backend backend;
    private final ModelMemory model;
    private final Executable step;
    private final UpdateKernel update;
    private final int batch;
    private final double weightDecay;
    private long updates;
    private StepMetrics.@Nullable Reading newest;

    /**
     * Traces, plans and prepares.
     *
     * @param backend runs it
     * @param network the model
     * @param batch samples per update
     * @param ghostBatch samples per batch-norm statistic; 0 for the whole batch
     * @param optimizer formula of the update, weight decay included
     */
    public TrainingStep(Backend backend, Network network, int batch, int ghostBatch, Optimizer optimizer) {
        this(backend, network, batch, ghostBatch, Recomputation.NONE, optimizer);
    }

    /**
     * The same, with results of the forward pass computed twice instead of kept.
     *
     * @param recomputation which, of this network
     */
    public TrainingStep(
            Backend backend,
            Network network,
            int batch,
            int ghostBatch,
            Recomputation recomputation,
            Optimizer optimizer) {
        this.backend = backend;
        this.batch = batch;
        weightDecay = optimizer.weightDecay();
        Program program = recomputation.of(
                network.trainingProgram(batch, ghostBatch == 0 ? batch : ghostBatch, 0, backend.fusions()));
        model = ModelMemory.allocate(backend, program, WEIGHTS_SEED);
        try (LoweredProgram lowered = backend.lower(program)) {
            step = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
        }
        update = backend.prepareUpdate(optimizer.rule(), model, program.parameters(), optimizer.decay());
    }

    /**
     * The network of this name: for 28×28 grey images if it is a fashion network, for 224×224 in colour and 1000
     * classes if it is ResNet-50, and otherwise for 32×32 in colour.
     */
    public static Network network(String name) {
        if (name.equals("resnet-50")) {
            return Models.named(name, 3, 224, 224, 1000);
        }
        return name.startsWith("fashion") ? Models.named(name, 1, 28, 28, 10) : Models.named(name, 3, 32, 32, 10);
    }

    /** One update with the constants every engine is measured with; returns the mean loss before it. */
    public double run(Feed feed) {
        return run(feed, LEARNING_RATE, MOMENTUM);
    }

    /** One update; returns the mean loss over the batch before it. */
    public double run(Feed feed, double learningRate, double momentum) {
        step.run(feed);
        double loss = backend.metrics().read().loss() / batch;
        backend.metrics().clear();
        update.apply(new UpdateScalars(learningRate, momentum, 1.0 / batch, weightDecay, ++updates));
        return loss;
    }

    /**
     * One update with the constants every engine is measured with, its loss left on the device: may return before the
     * device is done. {@link #await} waits for all that was enqueued.
     */
    public void enqueue(Feed feed) {
        step.run(feed);
        newest = backend.metrics().take();
        update.apply(nextScalars());
    }

    /** The same with a batch that lies on the device: the first samples of these images. */
    public void enqueue(ResidentImages images) {
        newest = images.update(step, 0, 0, batch, update, nextScalars());
    }

    private UpdateScalars nextScalars() {
        return new UpdateScalars(LEARNING_RATE, MOMENTUM, 1.0 / batch, weightDecay, ++updates);
    }

    /**
     * Waits for the device; returns the mean loss over the batch before the update that was enqueued last.
     *
     * @throws IllegalStateException if none was
     */
    public double await() {
        backend.metrics().read(); // the reading alone would not wait for the update behind it
        if (newest == null) {
            throw new IllegalStateException("no update was enqueued that could be waited for");
        }
        return newest.sums().loss() / batch;
    }

    /** Ten updates on one batch must lower its loss: a wrong step is not worth timing. */
    public void assertLearns(Feed feed) {
        double first = run(feed);
        double last = first;
        for (int i = 0; i < 10; i++) {
            last = run(feed);
        }
        if (!(last < first)) {
            throw new IllegalStateException("ten updates on one batch must lower its loss, but it went from " + first
                    + " to " + last + "; a wrong step is not worth timing");
        }
    }

    @Override
    public void close() {
        step.close();
        update.close();
        model.close();
    }
}
