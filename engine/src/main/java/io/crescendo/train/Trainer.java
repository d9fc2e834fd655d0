package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.Normalization;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.PlannedUpdate;
import io.crescendo.schedule.Progress;
import io.crescendo.schedule.TrainingPlan;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Trains one network by one plan on one device.
 *
 * <p>The plan alone says how many samples each update takes; the trainer runs them, applies the update scaled by
 * 1/batch and reports. Not thread-safe, except {@link #stop}.
 */
public final class Trainer implements AutoCloseable {
    /**
     * Samples per evaluation run where memory allows: enough to keep a processor busy, and few enough that training,
     * not evaluation, decides how large the workspace gets.
     */
    private static final int EVALUATION_BATCH = 128;

    private final Backend backend;
    private final TrainingPlan plan;
    private final Optimizer optimizer;
    private final TrainingOptions options;
    private final BatchStream stream;
    private final ModelMemory model;
    private final UpdateKernel update;
    private final Steps steps;
    private final Evaluator evaluator;
    private final List<TrainingListener> listeners = new ArrayList<>();
    private final PendingUpdates pending;
    private volatile boolean stopped;
    private boolean ran;

    /**
     * Allocates and initialises a model.
     *
     * @param backend the device; stays open when the trainer is closed
     * @param plan made for {@code training.size()} samples per epoch
     * @param training normalised with its own mean and standard deviation
     * @param test normalised the same way, never augmented
     * @param augmentation of the training images
     */
    public Trainer(
            Backend backend,
            Network network,
            TrainingPlan plan,
            Optimizer optimizer,
            Dataset training,
            Dataset test,
            Augmentation augmentation,
            TrainingOptions options) {
        requireFits(network, training);
        requireFits(network, test);
        if (plan.samplesPerEpoch() != training.size()) {
            throw new IllegalArgumentException("the plan is for " + plan.samplesPerEpoch()
                    + " samples per epoch, but the data set '" + training.name() + "' has " + training.size());
        }
        this.backend = backend;
        this.plan = plan;
        this.optimizer = optimizer;
        this.options = options;
        // Any micro-batch traces to the same packs.
        Program layout = network.inferenceProgram(1, 0, backend.fusions());
        this.model = ModelMemory.allocate(backend, layout, options.seed());
        this.update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        StepPlanner planner = new StepPlanner(
                backend, network, options.ghostBatch(), options.labelSmoothing(), options.memoryBudgetBytes());
        this.steps = new Steps(backend, model, planner);
        steps.onRefusal(refusal -> listeners.forEach(l -> l.memoryRefused(refusal)));
        Normalization normalization = Normalization.of(training);
        this.stream = new BatchStream(training, normalization, augmentation, options.seed());
        this.evaluator = new Evaluator(
                backend, planner, model, BatchStream.evaluation(test, normalization), test.size(), EVALUATION_BATCH);
        this.pending = new PendingUpdates(plan.samplesPerEpoch(), record -> listeners.forEach(l -> l.updated(record)));
    }

    /** Adds a listener. */
    public void listen(TrainingListener listener) {
        listeners.add(listener);
    }

    /** The numbers being trained. */
    public ModelMemory model() {
        return model;
    }

    /** Asks {@link #run} to return after the update that is being prepared. Any thread may call it. */
    public void stop() {
        stopped = true;
    }

    /**
     * Trains to the end of the plan, or until {@link #stop}.
     *
     * @param schedule names the run in its summary
     * @throws NonFiniteLossException if the loss becomes infinite or NaN; the weights are those before that update, the
     *     running statistics and gradients those of the failed one or, on a device that answers later, of one after it
     * @throws IllegalStateException if it ran already: its weights and optimizer state are no longer a beginning
     */
    public RunSummary run(String schedule) {
        if (ran) {
            throw new IllegalStateException("this trainer ran already; make a new one to train from the beginning");
        }
        ran = true;
        long started = System.nanoTime();
        @Nullable EvaluationRecord evaluation = null;
        @Nullable Step previous = null;
        Progress progress = plan.start();
        steps.expect(plan.batchUses());
        backend.metrics().clear();
        while (!plan.finished(progress) && !stopped) {
            long updateStarted = System.nanoTime();
            PlannedUpdate planned = plan.nextUpdate(progress);
            Step step = steps.forBatch(Math.toIntExact(planned.samples()));
            if (previous == null || (!planned.ragged() && step.batch() != previous.batch())) {
                announce(progress, planned, step, System.nanoTime() - updateStarted);
                steps.passed(progress.samples());
                previous = step;
            }
            forwardAndBackward(progress, step);
            Progress next = plan.advance(progress, step.batch());
            StepMetrics.Reading reading = backend.metrics().take();
            pending.add(
                    new PendingUpdates.Update(
                            planned,
                            progress,
                            next,
                            step.microBatch(),
                            step.microBatches(),
                            backend.workspace().capacityBytes(),
                            updateStarted,
                            reading),
                    () -> update.apply(scalars(planned, next)));
            if (evaluationIsDue(progress, next)) {
                evaluation = evaluate(next);
            }
            progress = next;
        }
        if (evaluation == null || evaluation.update() != progress.updates()) {
            evaluation = evaluate(progress);
        }
        return new RunSummary(
                schedule,
                options.seed(),
                progress.epochs(),
                progress.updates(),
                pending.epochLoss(),
                evaluation.loss(),
                evaluation.accuracy(),
                pending.imagesPerSecond(),
                (System.nanoTime() - started) * 1e-9,
                backend.workspace().peakBytes());
    }

    private void forwardAndBackward(Progress progress, Step step) {
        Progress next = plan.advance(progress, step.batch());
        step.run(stream, progress.epoch(), progress.samplesIntoEpoch(), options.seed(), () -> {
            if (!plan.finished(next)) {
                int size = Math.toIntExact(plan.nextUpdate(next).samples());
                stream.prefetch(next.epoch(), next.samplesIntoEpoch(), steps.firstMicroBatch(size));
            }
        });
    }

    private UpdateScalars scalars(PlannedUpdate planned, Progress after) {
        return new UpdateScalars(
                planned.phase().learningRate(),
                planned.phase().momentum(),
                1.0 / planned.samples(),
                optimizer.weightDecay(),
                after.updates());
    }

    private void announce(Progress progress, PlannedUpdate planned, Step step, long switchNanos) {
        PhaseRecord phase = new PhaseRecord(
                progress.updates(),
                progress.epochs(),
                step.batch(),
                step.microBatch(),
                step.microBatches(),
                options.ghostBatch(),
                planned.phase().learningRate(),
                planned.phase().momentum(),
                planned.phase().noiseScale(plan.samplesPerEpoch()).approximate(),
                step.workspaceBytes(),
                step.prepareNanos(),
                switchNanos);
        listeners.forEach(l -> l.phaseStarted(phase));
    }

    private EvaluationRecord evaluate(Progress progress) {
        pending.drain();
        EvaluationRecord record = evaluator.evaluate(progress.updates(), progress.epochs());
        listeners.forEach(l -> l.evaluated(record));
        return record;
    }

    private boolean evaluationIsDue(Progress before, Progress after) {
        double every = options.evaluateEveryEpochs();
        return Math.floor(after.epochs() / every) > Math.floor(before.epochs() / every);
    }

    private static void requireFits(Network network, Dataset data) {
        if (data.shape().channels() != network.channels()
                || data.shape().height() != network.height()
                || data.shape().width() != network.width()
                || data.classes() != network.classes()) {
            throw new IllegalArgumentException("network '" + network.name() + "' is built for " + network.classes()
                    + " classes of " + network.channels() + "x" + network.height() + "x" + network.width()
                    + " images, but data set '" + data.name() + "' has " + data.classes() + " classes of "
                    + data.shape().channels() + "x" + data.shape().height() + "x"
                    + data.shape().width());
        }
    }

    @Override
    public void close() {
        stream.close();
        evaluator.close();
        steps.close();
        update.close();
        model.close();
    }
}
