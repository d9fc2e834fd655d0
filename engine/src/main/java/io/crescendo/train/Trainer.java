package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
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
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Trains one network by one plan on one device.
 *
 * <p>The plan alone says how many samples each update takes; the trainer runs them, applies the update scaled by
 * 1/batch and reports. Not thread-safe, except {@link #stop}.
 */
public final class Trainer implements AutoCloseable {
    private final Backend backend;
    private final TrainingPlan plan;
    private final Optimizer optimizer;
    private final TrainingOptions options;
    private final BatchStream stream;
    /** The training images on the device; then the stream is never asked. */
    private final Optional<ResidentImages> resident;

    private final ModelMemory model;
    private final UpdateKernel update;
    private final Steps steps;
    private final Evaluator evaluator;
    /** Null where the gradient's noise is not measured. */
    private final @Nullable GradientNorms norms;

    private final RunIdentity identity;
    private final Checkpoint.Numbers numbers;
    private final List<TrainingListener> listeners = new ArrayList<>();
    private final PendingUpdates pending;
    private @Nullable CheckpointFolder checkpoints;
    private RunState resumed = RunState.BEGINNING;
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
     * @throws IllegalArgumentException if network, plan, optimizer, augmentation and data sets do not fit each other;
     *     the message says which two
     * @throws IllegalStateException if the plan has no length
     * @throws io.crescendo.data.DataException if the training images cannot be read
     * @throws io.crescendo.backend.DeviceMemoryException if the device has no room for weights, gradients, statistics
     *     or the optimizer's state; the message says which
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
        double momentum = plan.highestMomentum();
        if (optimizer.rule() instanceof UpdateRule.Sgd && momentum > 0) {
            throw new IllegalArgumentException("the plan counts on momentum " + momentum
                    + ", but the optimizer is plain SGD, which has none: noise scale and batches would be wrong; state"
                    + " momentum(0) in the plan, or choose Optimizer.momentum or Optimizer.nesterov");
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
        this.norms = options.gradientNoiseEvery() > 0 ? backend.gradientNorms(model) : null;
        if (norms != null) {
            planner.measureNoise();
        }
        this.steps = new Steps(backend, model, planner);
        steps.onRefusal(refusal -> listeners.forEach(l -> l.memoryRefused(refusal)));
        Normalization normalization = Normalization.of(training);
        this.stream = new BatchStream(training, normalization, augmentation, options.seed());
        this.resident = backend.residentImages(stream.source());
        this.evaluator = new Evaluator(
                backend, planner, model, BatchStream.evaluation(test, normalization), test.size(), Evaluator.BATCH);
        evaluator.onRefusal(refusal -> listeners.forEach(l -> l.memoryRefused(refusal)));
        this.identity = RunIdentity.of(network, plan, optimizer, training, test, normalization, augmentation, options);
        this.numbers = new Checkpoint.Numbers(model, layout.parameters(), layout.statistics(), update);
        this.pending = new PendingUpdates(
                plan.samplesPerEpoch(),
                record -> listeners.forEach(l -> l.updated(record)),
                noise -> listeners.forEach(l -> l.gradientNoiseMeasured(noise)));
    }

    /** Adds a listener. */
    public void listen(TrainingListener listener) {
        listeners.add(listener);
    }

    /** The numbers being trained. */
    public ModelMemory model() {
        return model;
    }

    /** Leaves checkpoints there while {@link #run} trains, and one where it ends. */
    public void saveTo(CheckpointFolder folder) {
        checkpoints = folder;
    }

    /**
     * Makes {@link #run} go on where another trainer saved a checkpoint: the same samples, schedules and numbers come
     * next as if that run had not ended. On the same machine with the same number of threads they are the same to the
     * last bit.
     *
     * @throws IllegalArgumentException naming the difference if the checkpoint belongs to another model, plan, data
     *     set, optimizer or seed; nothing was changed then
     * @throws IOException if it cannot be read
     * @throws IllegalStateException if {@link #run} was called
     */
    public void resume(Checkpoint checkpoint) throws IOException {
        requireNotRun();
        identity.requireSame(checkpoint.file().toString(), checkpoint.texts());
        checkpoint.restore(numbers);
        resumed = checkpoint.state();
        pending.restore(resumed.totals(), resumed.noise());
        if (backend.description().equals(checkpoint.device())
                && resumed.workspaceBytes() <= options.memoryBudgetBytes()) {
            // Not needed for the results, but then the records say the same of it.
            backend.workspace().reserve(resumed.workspaceBytes());
        }
    }

    /** Asks {@link #run} to return after the update that is being prepared. Any thread may call it. */
    public void stop() {
        stopped = true;
    }

    /**
     * Trains to the end of the plan, or until {@link #stop}.
     *
     * @param schedule names the run in its summary
     * @throws NonFiniteLossException if the loss or a gradient becomes infinite or NaN; the weights are those before
     *     that update, the running statistics and gradients those of the failed one or, on a device that answers later,
     *     of one after it
     * @throws io.crescendo.memory.MemoryBudgetException if not even the smallest micro-batch fits the memory budget
     * @throws io.crescendo.backend.DeviceMemoryException if it fits the budget, but not what the device gives
     * @throws io.crescendo.data.DataException if images cannot be read
     * @throws UncheckedIOException if a checkpoint cannot be written
     * @throws IllegalStateException if it ran already: its weights and optimizer state are no longer a beginning
     */
    public RunSummary run(String schedule) {
        requireNotRun();
        ran = true;
        long started = System.nanoTime();
        long saved = started;
        @Nullable EvaluationRecord evaluation = resumed.evaluation();
        RunState.Announced announced = resumed.announced();
        Progress progress = new Progress(resumed.samples(), resumed.updates(), plan.samplesPerEpoch());
        steps.expect(plan.batchUses(), progress.samples());
        backend.metrics().clear();
        while (!plan.finished(progress) && !stopped) {
            long updateStarted = System.nanoTime();
            PlannedUpdate planned = plan.nextUpdate(progress);
            Step step = steps.forBatch(Math.toIntExact(planned.samples()));
            RunState.Announced present = RunState.Announced.of(planned, step);
            // The ragged end of an epoch is announced only where it is all there is of a scheduled batch, or its first.
            boolean switched = planned.ragged() ? present.batch() != announced.batch() : !present.equals(announced);
            if (switched) {
                announce(progress, planned, step, System.nanoTime() - updateStarted);
                announced = present;
            }
            Progress next = plan.advance(progress, step.batch());
            enqueue(planned, progress, next, step, switched, updateStarted);
            if (evaluationIsDue(progress, next)) {
                evaluation = evaluate(next, announced);
            }
            if (checkpoints != null && checkpoints.isDue(progress, next, System.nanoTime() - saved)) {
                save(checkpoints, next, announced, evaluation, started);
                saved = System.nanoTime();
            }
            progress = next;
        }
        boolean finished = plan.finished(progress);
        if (checkpoints != null && !finished) {
            // Before the evaluation, which a run that goes on from here would not have made.
            save(checkpoints, progress, announced, evaluation, started);
        }
        if (evaluation == null || evaluation.update() != progress.updates()) {
            evaluation = evaluate(progress, announced);
        }
        if (checkpoints != null && finished) {
            save(checkpoints, progress, announced, evaluation, started);
        }
        return new RunSummary(
                schedule,
                options.seed(),
                progress.epochs(),
                progress.updates(),
                pending.totals().meanLoss(),
                evaluation.loss(),
                evaluation.accuracy(),
                pending.totals().imagesPerSecond(),
                seconds(started),
                peakBytes());
    }

    private void requireNotRun() {
        if (ran) {
            throw new IllegalStateException("this trainer ran already; make a new one to train from the beginning");
        }
    }

    private double seconds(long started) {
        return resumed.seconds() + (System.nanoTime() - started) * 1e-9;
    }

    private long peakBytes() {
        return Math.max(resumed.peakWorkspaceBytes(), backend.workspace().peakBytes());
    }

    private void save(
            CheckpointFolder folder,
            Progress progress,
            RunState.Announced announced,
            @Nullable EvaluationRecord evaluation,
            long started) {
        pending.settle(backend.metrics());
        RunState state = new RunState(
                progress.samples(),
                plan.samplesPerEpoch(),
                progress.updates(),
                announced,
                evaluation,
                pending.totals(),
                seconds(started),
                backend.workspace().capacityBytes(),
                peakBytes(),
                pending.noise());
        try {
            Checkpoint.write(folder.file(progress.updates()), identity, state, backend.description(), numbers);
            folder.prune();
        } catch (IOException e) {
            throw new UncheckedIOException("a checkpoint cannot be written to " + folder.folder(), e);
        }
    }

    /** Keyed by the update's number, so that a resumed run measures at the same ones. */
    private boolean measuresNoise(Progress progress) {
        return norms != null && progress.updates() % options.gradientNoiseEvery() == 0;
    }

    /** Hands one update to the device; what it was is known once it is settled. */
    private void enqueue(
            PlannedUpdate planned, Progress progress, Progress next, Step step, boolean switched, long started) {
        Step split = measuresNoise(progress) ? step.measured().orElse(null) : null;
        Step running = split == null ? step : split;
        GradientNorms measuring = split == null ? null : norms;
        UpdateScalars scalars = scalars(planned, next);
        StepMetrics.Reading reading;
        PendingUpdates.Noise noise = null;
        Runnable apply = () -> {};
        if (resident.isPresent() && measuring == null) {
            reading = running.update(resident.get(), progress.epoch(), progress.samplesIntoEpoch(), update, scalars);
        } else {
            forwardAndBackward(progress, next, running, measuring);
            if (measuring != null) {
                noise = new PendingUpdates.Noise(running.sizes(), measuring.take());
            }
            reading = backend.metrics().take();
            apply = () -> update.apply(scalars);
        }
        if (switched) { // not before: a device computes while what it no longer needs is closed
            steps.passed(progress.samples());
        }
        pending.add(
                new PendingUpdates.Update(
                        planned,
                        progress,
                        next,
                        running.microBatch(),
                        running.microBatches(),
                        backend.workspace().capacityBytes(),
                        started,
                        reading,
                        noise),
                apply);
    }

    private void forwardAndBackward(Progress progress, Progress next, Step step, @Nullable GradientNorms measuring) {
        if (resident.isPresent()) {
            step.run(resident.get(), progress.epoch(), progress.samplesIntoEpoch(), measuring);
            return;
        }
        step.run(stream, progress.epoch(), progress.samplesIntoEpoch(), options.seed(), measuring, () -> {
            if (!plan.finished(next)) {
                int size = Math.toIntExact(plan.nextUpdate(next).samples());
                // Without a plan, filling all of a batch could take memory that its micro-batches never need.
                steps.firstMicroBatch(size, measuresNoise(next))
                        .ifPresent(first -> stream.prefetch(next.epoch(), next.samplesIntoEpoch(), first));
            }
        });
    }

    private UpdateScalars scalars(PlannedUpdate planned, Progress after) {
        return new UpdateScalars(
                planned.phase().learningRate(),
                planned.phase().momentum(),
                1.0 / planned.samples(),
                optimizer.weightDecay(),
                after.updates(),
                optimizer.clipNorm());
    }

    private void announce(Progress progress, PlannedUpdate planned, Step step, long switchNanos) {
        PhaseRecord phase = new PhaseRecord(
                progress.updates(),
                progress.epochs(),
                step.batch(),
                step.sizes(),
                step.recomputation().name(),
                options.ghostBatch(),
                planned.phase().learningRate(),
                planned.phase().momentum(),
                planned.noiseScale(plan.samplesPerEpoch()).approximate(),
                step.workspaceBytes(),
                step.prepareNanos(),
                switchNanos);
        listeners.forEach(l -> l.phaseStarted(phase));
    }

    private EvaluationRecord evaluate(Progress progress, RunState.Announced announced) {
        pending.settle(backend.metrics());
        // Of the phase, not of an update that the epoch's end cut short; the same in a run that goes on here.
        EvaluationRecord record = evaluator.evaluate(progress.updates(), progress.epochs(), announced.workspaceBytes());
        listeners.forEach(l -> l.evaluated(record));
        return record;
    }

    private boolean evaluationIsDue(Progress before, Progress after) {
        double every = options.evaluateEveryEpochs();
        return Math.floor(after.epochs() / every) > Math.floor(before.epochs() / every);
    }

    private static void requireFits(Network network, Dataset data) {
        if (data.size() < 1) {
            throw new IllegalArgumentException("data set '" + data.name() + "' has no images");
        }
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
        resident.ifPresent(ResidentImages::close);
        evaluator.close();
        steps.close();
        if (norms != null) {
            norms.close();
        }
        update.close();
        model.close();
    }
}
