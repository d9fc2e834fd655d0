package io.crescendo.bench.peers;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.bench.TrainingStep;
import io.crescendo.data.BatchStream;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.BatchUse;
import io.crescendo.train.Step;
import io.crescendo.train.Steps;
import java.util.ArrayList;
import java.util.List;

/**
 * Our own training with a growing batch, by the steps and the batch stream of a training run.
 *
 * <p>Unlike the other engines' batches, ours are not tensors made beforehand: each is gathered and normalised by the
 * stream, in the background where its size is prepared, as in a training run.
 */
final class CrescendoGrowth implements GrowingEngine {
    /** Batches are not announced, so that each is prepared when it is asked for. */
    static final String UNANNOUNCED = "-unannounced";

    private final Backend backend;
    private final ModelMemory model;
    private final UpdateKernel update;
    private final Steps steps;
    private final BatchStream stream;
    private final boolean announced;
    private long updates;

    /**
     * Opens the device.
     *
     * @param device its name, with {@value #UNANNOUNCED} at the end or without
     * @param ladder the batches to come, announced as a training plan's are
     */
    CrescendoGrowth(Task task, String device, int threads, List<Integer> ladder) {
        announced = !device.endsWith(UNANNOUNCED);
        backend = Backends.open(device.replace(UNANNOUNCED, ""), new BackendOptions(threads));
        Program layout = task.network().inferenceProgram(1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, layout, TrainingStep.WEIGHTS_SEED);
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        int largest = ladder.get(ladder.size() - 1);
        // One statistic over the whole batch, as in the peers.
        steps = new Steps(backend, task.network(), model, largest, 0, Long.MAX_VALUE);
        stream = GrowthSample.stream(task.network(), largest);
        if (announced) {
            List<BatchUse> uses = new ArrayList<>();
            ladder.forEach(batch -> uses.add(new BatchUse(batch, 1, uses.size(), Long.MAX_VALUE)));
            steps.expect(uses);
        }
    }

    /** Whether {@link #step(int, int)} need not wait for this batch. */
    boolean isPrepared(int batch) {
        return steps.isPrepared(batch);
    }

    @Override
    public double step(int batch, int next) {
        Step step = steps.forBatch(batch);
        step.run(stream, 0, 0, 1, () -> {
            if (next > 0 && steps.isPrepared(next)) { // as a training run does
                stream.prefetch(0, 0, next);
            }
        });
        double loss = backend.metrics().read().loss() / batch;
        backend.metrics().clear();
        update.apply(new UpdateScalars(
                TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM, 1.0 / batch, TrainingStep.WEIGHT_DECAY, ++updates));
        return loss;
    }

    @Override
    public String description() {
        return "Crescendo, " + backend.description() + (announced ? ", batches announced" : ", batches not announced");
    }

    @Override
    public void close() {
        stream.close();
        steps.close();
        update.close();
        model.close();
        backend.close();
    }
}
