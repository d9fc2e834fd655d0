package io.crescendo.train;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.nn.Network;
import java.util.HashMap;
import java.util.Map;

/** Measures loss and accuracy of a network on all samples of a data set, with running statistics. */
public final class Evaluator implements AutoCloseable {
    private final Backend backend;
    private final Network network;
    private final ModelMemory model;
    private final BatchStream stream;
    private final int samples;
    private final int evaluationBatch;
    private final double labelSmoothing;
    private final Map<Integer, Executable> executables = new HashMap<>();

    /**
     * Creates an evaluator.
     *
     * @param stream the data set in its own order, without augmentation
     * @param samples size of the data set
     * @param evaluationBatch samples per run if memory allows; has no influence on the result
     * @param budgetBytes what the workspace may hold
     */
    public Evaluator(
            Backend backend,
            Network network,
            ModelMemory model,
            BatchStream stream,
            int samples,
            int evaluationBatch,
            double labelSmoothing,
            long budgetBytes) {
        this.backend = backend;
        this.network = network;
        this.model = model;
        this.stream = stream;
        this.samples = samples;
        this.labelSmoothing = labelSmoothing;
        this.evaluationBatch =
                MicroBatches.largest(Math.min(samples, evaluationBatch), 1, budgetBytes, this::workspaceBytes);
    }

    /** Evaluates all samples; {@code update} and {@code epoch} only label the record. */
    public EvaluationRecord evaluate(long update, double epoch) {
        StepMetrics metrics = backend.metrics();
        metrics.clear();
        long position = 0;
        for (int size : MicroBatches.split(samples, evaluationBatch)) {
            Batch batch = stream.next(0, position, size);
            position += size;
            if (position < samples) {
                stream.prefetch(0, position, (int) Math.min(evaluationBatch, samples - position));
            }
            executable(size).run(new Feed(batch.images(), batch.labels(), size, batch.firstSample(), 0));
        }
        StepMetrics.Sums sums = metrics.read();
        metrics.clear();
        return new EvaluationRecord(update, epoch, samples, sums.loss() / samples, (double) sums.hits() / samples);
    }

    private Executable executable(int size) {
        return executables.computeIfAbsent(size, s -> {
            Program program = network.inferenceProgram(s, labelSmoothing, backend.fusions());
            try (LoweredProgram lowered = backend.lower(program)) {
                return lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
            }
        });
    }

    private long workspaceBytes(long size) {
        Program program = network.inferenceProgram(Math.toIntExact(size), labelSmoothing, backend.fusions());
        try (LoweredProgram lowered = backend.lower(program)) {
            return WorkspacePlanner.plan(program, lowered.requirements()).totalBytes();
        }
    }

    @Override
    public void close() {
        executables.values().forEach(Executable::close);
        stream.close();
    }
}
