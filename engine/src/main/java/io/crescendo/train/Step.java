package io.crescendo.train;

import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.memory.Recomputation;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Forward and backward over one batch, in one or more micro-batches that add to the same gradients. */
public final class Step {
    private final int batch;
    private final List<Integer> sizes;
    private final List<Executable> parts;
    private final Recomputation recomputation;
    private final long workspaceBytes;
    private final long prepareNanos;
    private final @Nullable Step halved;

    Step(
            int batch,
            List<Integer> sizes,
            List<Executable> parts,
            Recomputation recomputation,
            long workspaceBytes,
            long prepareNanos,
            @Nullable Step halved) {
        this.batch = batch;
        this.sizes = sizes;
        this.parts = parts;
        this.recomputation = recomputation;
        this.workspaceBytes = workspaceBytes;
        this.prepareNanos = prepareNanos;
        this.halved = halved;
    }

    /** Samples in all. */
    public int batch() {
        return batch;
    }

    /** Samples of the largest micro-batch. */
    public int microBatch() {
        return sizes.get(0);
    }

    /** Number of micro-batches. */
    public int microBatches() {
        return sizes.size();
    }

    /** Sizes of the micro-batches in running order. */
    public List<Integer> sizes() {
        return sizes;
    }

    /** What the largest micro-batch computes twice to fit the memory budget. */
    public Recomputation recomputation() {
        return recomputation;
    }

    /** Time it took to trace, plan and compile what this batch needed anew; in the background if it was announced. */
    public long prepareNanos() {
        return prepareNanos;
    }

    /** Arena bytes the largest micro-batch needs. */
    public long workspaceBytes() {
        return workspaceBytes;
    }

    /**
     * The same batch in the micro-batches that measuring the gradient's noise takes: itself where it runs in several,
     * two halves where the planner made them, and empty where one piece is all there can be.
     */
    public Optional<Step> measured() {
        return parts.size() > 1 ? Optional.of(this) : Optional.ofNullable(halved);
    }

    /** Every micro-batch size that this needs. */
    Set<Integer> allSizes() {
        Set<Integer> all = new HashSet<>(sizes);
        if (halved != null) {
            all.addAll(halved.sizes);
        }
        return all;
    }

    /**
     * Adds the gradients of {@code batch()} samples of an epoch, starting at a position in its order. While one
     * micro-batch runs, the next one is filled.
     *
     * @param seed the run's seed; keys dropout
     * @param prefetchNext announces the samples of the update after this one
     */
    public void run(BatchStream stream, long epoch, long position, long seed, Runnable prefetchNext) {
        run(stream, epoch, position, seed, null, prefetchNext);
    }

    /** The same with batches that the device makes itself. */
    public void run(ResidentImages images, long epoch, long position) {
        run(images, epoch, position, null);
    }

    /**
     * {@link #run(ResidentImages, long, long)}, then {@code take} of the metrics, then the update; the last micro-batch
     * and what follows it in one.
     *
     * @return loss and hits of the batch
     */
    public StepMetrics.Reading update(
            ResidentImages images, long epoch, long position, UpdateKernel update, UpdateScalars scalars) {
        long at = position;
        int last = parts.size() - 1;
        for (int i = 0; i < last; i++) {
            images.run(parts.get(i), epoch, at, sizes.get(i));
            at += sizes.get(i);
        }
        return images.update(parts.get(last), epoch, at, sizes.get(last), update, scalars);
    }

    /** The same, and {@code norms} hears of every micro-batch. */
    void run(
            BatchStream stream,
            long epoch,
            long position,
            long seed,
            @Nullable GradientNorms norms,
            Runnable prefetchNext) {
        long at = position;
        for (int i = 0; i < parts.size(); i++) {
            Batch samples = stream.next(epoch, at, sizes.get(i));
            at += sizes.get(i);
            if (i + 1 < parts.size()) {
                stream.prefetch(epoch, at, sizes.get(i + 1));
            } else {
                prefetchNext.run();
            }
            parts.get(i).run(new Feed(samples.images(), samples.labels(), samples.size(), samples.firstSample(), seed));
            ran(norms, i);
        }
    }

    /** The same, and {@code norms} hears of every micro-batch. */
    void run(ResidentImages images, long epoch, long position, @Nullable GradientNorms norms) {
        long at = position;
        for (int i = 0; i < parts.size(); i++) {
            images.run(parts.get(i), epoch, at, sizes.get(i));
            at += sizes.get(i);
            ran(norms, i);
        }
    }

    private void ran(@Nullable GradientNorms norms, int part) {
        if (norms != null) {
            norms.ran(part, parts.size());
        }
    }
}
