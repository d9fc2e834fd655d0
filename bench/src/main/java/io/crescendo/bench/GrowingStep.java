package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.BatchUse;
import io.crescendo.train.Step;
import io.crescendo.train.Steps;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Updates of one model at batches that change, by the steps and the batches of a training run.
 *
 * <p>As in a training run, batches are made on the device where it can hold the images, and gathered by the stream
 * otherwise, in the background where the size of the next is known. Closing it does not close the backend.
 *
 * <pre>{@code
 * growing.announce(List.of(128, 640));
 * growing.update(128, 128);
 * growing.update(128, 640);
 * growing.update(640, 0);                  // was prepared meanwhile
 * }</pre>
 */
public final class GrowingStep implements AutoCloseable {
    private final Backend backend;
    private final ModelMemory model;
    private final UpdateKernel update;
    private final Steps steps;
    private final BatchStream stream;
    private final Optional<ResidentImages> images;
    private long updates;

    /**
     * Makes a model and its data set; prepares no batch.
     *
     * @param ghostBatch samples per batch-norm statistic
     * @param largest no batch is larger
     */
    public GrowingStep(Backend backend, Network network, int ghostBatch, int largest) {
        this.backend = backend;
        Program layout = network.inferenceProgram(1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, layout, TrainingStep.WEIGHTS_SEED);
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        steps = new Steps(backend, network, model, ghostBatch, 0, Long.MAX_VALUE);
        stream = stream(network, largest);
        images = backend.residentImages(stream.source());
    }

    /** Random images and labels: the first samples of an epoch, the same at each position. */
    public static BatchStream stream(Network network, int samples) {
        RandomDataset data = new RandomDataset(
                samples, network.classes(), new ImageShape(network.channels(), network.height(), network.width()), 7);
        return new BatchStream(data, Normalization.of(data), Augmentation.NONE, 1);
    }

    /** Announces the batches to come, as a training plan's are; they are prepared in the background. */
    public void announce(List<Integer> batches) {
        List<BatchUse> uses = new ArrayList<>();
        batches.forEach(batch -> uses.add(new BatchUse(batch, 1, uses.size(), Long.MAX_VALUE)));
        steps.expect(uses);
    }

    /** Whether {@link #update} need not wait for this batch. */
    public boolean isPrepared(int batch) {
        return steps.isPrepared(batch);
    }

    /** In how many pieces a batch runs; prepares it if need be. */
    public int microBatches(int batch) {
        return steps.forBatch(batch).microBatches();
    }

    /**
     * One update, to the end of all that it takes; returns the mean loss before it.
     *
     * @param next the batch of the update after it, 0 for none
     */
    public double update(int batch, int next) {
        Step step = steps.forBatch(batch);
        UpdateScalars scalars = new UpdateScalars(
                TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM, 1.0 / batch, TrainingStep.WEIGHT_DECAY, ++updates);
        StepMetrics.Reading reading;
        if (images.isPresent()) {
            reading = step.update(images.get(), 0, 0, update, scalars);
        } else {
            step.run(stream, 0, 0, 1, () -> {
                if (next > 0 && steps.isPrepared(next)) { // as a training run does
                    stream.prefetch(0, 0, next);
                }
            });
            reading = backend.metrics().take();
            update.apply(scalars);
        }
        backend.metrics().read(); // waits for a device that works on its own, to the end of the update
        return reading.sums().loss() / batch;
    }

    @Override
    public void close() {
        images.ifPresent(ResidentImages::close);
        stream.close();
        steps.close();
        update.close();
        model.close();
    }
}
