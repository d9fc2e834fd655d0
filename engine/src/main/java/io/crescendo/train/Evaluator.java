package io.crescendo.train;

import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.memory.MicroBatches;
import io.crescendo.metrics.EvaluationRecord;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** Measures loss and accuracy of a network on all samples of a data set, with running statistics. */
public final class Evaluator implements AutoCloseable {
    /**
     * The most samples per evaluation run: enough to keep a processor busy. They are fewer where so many would need
     * more memory than training holds anyway, so that training, not evaluation, decides how large the workspace gets.
     */
    public static final int BATCH = 128;

    private final Backend backend;
    private final StepPlanner planner;
    private final ModelMemory model;
    private final BatchStream stream;
    /** The images on the device, uploaded once; then the stream is never asked. */
    private final Optional<ResidentImages> resident;

    private final int samples;
    private final Map<Integer, Executable> executables = new HashMap<>();
    private Consumer<Steps.Refusal> onRefusal = refusal -> {};
    /** As many samples at once as were asked for, or as the device did not refuse. */
    private int mostAtOnce;

    private int evaluationBatch;
    private long budgetBytes;
    private long trainingBytes;
    private long workspaceBytes;

    /**
     * Creates an evaluator.
     *
     * @param planner of the same network; stays open
     * @param stream the data set in its own order, without augmentation
     * @param samples size of the data set
     * @param evaluationBatch samples per run if memory allows; has no influence on the result
     */
    public Evaluator(
            Backend backend,
            StepPlanner planner,
            ModelMemory model,
            BatchStream stream,
            int samples,
            int evaluationBatch) {
        this.backend = backend;
        this.planner = planner;
        this.model = model;
        this.stream = stream;
        this.resident = backend.residentImages(stream.source());
        this.samples = samples;
        this.mostAtOnce = Math.min(samples, evaluationBatch);
        fit(0);
    }

    /** Calls this when the device refuses memory and evaluation goes on in smaller pieces. */
    public void onRefusal(Consumer<Steps.Refusal> listener) {
        onRefusal = listener;
    }

    /**
     * Evaluates all samples; {@code update} and {@code epoch} only label the record.
     *
     * @param trainingBytes what training holds of the workspace: evaluation takes no more, but for a few samples
     */
    public EvaluationRecord evaluate(long update, double epoch, long trainingBytes) {
        if (planner.budgetBytes() != budgetBytes || trainingBytes != this.trainingBytes) {
            fit(trainingBytes); // training may have met a refusal since
        }
        while (true) {
            try {
                return evaluateOnce(update, epoch);
            } catch (DeviceMemoryException e) {
                if (evaluationBatch == 1) {
                    throw e.withRemedy("; not even one sample at a time can be evaluated");
                }
                forgetExecutables();
                onRefusal.accept(new Steps.Refusal(
                        evaluationBatch, e.requestedBytes(), Math.min(planner.budgetBytes(), e.requestedBytes() - 1)));
                evaluationBatch = (evaluationBatch + 1) / 2;
                mostAtOnce = evaluationBatch;
            }
        }
    }

    private void fit(long newTrainingBytes) {
        budgetBytes = planner.budgetBytes();
        trainingBytes = newTrainingBytes;
        int fitting = planner.inferenceBatch(mostAtOnce, trainingBytes);
        if (fitting != evaluationBatch) {
            forgetExecutables();
            evaluationBatch = fitting;
        }
    }

    private void forgetExecutables() {
        executables.values().forEach(Executable::close);
        executables.clear();
        workspaceBytes = 0;
    }

    private EvaluationRecord evaluateOnce(long update, double epoch) {
        StepMetrics metrics = backend.metrics();
        metrics.clear();
        long position = 0;
        for (int size : MicroBatches.split(samples, evaluationBatch)) {
            Executable executable = executable(size);
            if (resident.isPresent()) {
                resident.get().run(executable, 0, position, size);
            } else {
                feed(executable, position, size);
            }
            position += size;
        }
        StepMetrics.Sums sums = metrics.read();
        metrics.clear();
        return new EvaluationRecord(update, epoch, samples, sums.loss() / samples, (double) sums.hits() / samples);
    }

    private void feed(Executable executable, long position, int size) {
        Batch batch = stream.next(0, position, size);
        long next = position + size;
        if (next < samples) {
            stream.prefetch(0, next, (int) Math.min(evaluationBatch, samples - next));
        }
        executable.run(new Feed(batch.images(), batch.labels(), size, batch.firstSample(), 0));
    }

    private Executable executable(int size) {
        Executable known = executables.get(size);
        if (known == null) {
            try (PlannedProgram program = planner.inference(size)) {
                known = program.lowered().bind(program.plan(), model);
                workspaceBytes = Math.max(workspaceBytes, program.plan().totalBytes());
            }
            executables.put(size, known);
        }
        backend.workspace().reserve(workspaceBytes); // a smaller budget may have shrunk it since
        return known;
    }

    @Override
    public void close() {
        executables.values().forEach(Executable::close);
        resident.ifPresent(ResidentImages::close);
        stream.close();
    }
}
