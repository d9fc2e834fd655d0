package io.crescendo.schedule;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Walks through a plan in stretches of equal updates instead of one update at a time.
 *
 * <p>Where the batch is known to stand still, whole epochs are counted by one division; elsewhere each update is its
 * own stretch. Sizes come from {@link TrainingPlan#nextUpdate} or, inside a stretch, from the same rule applied to a
 * constant batch.
 */
final class PlanWalk {
    /**
     * Samples before a boundary within which updates are taken singly. A schedule on a shifted clock may switch one
     * sample before the boundary that it reports, and single updates always ask the schedule itself.
     */
    private static final long MARGIN_SAMPLES = 2;

    private PlanWalk() {}

    /**
     * Neighbouring updates with the same batch and no boundary between them.
     *
     * @param first the moment at which the first of them begins
     * @param last the moment at which the last of them begins
     * @param updates how many there are
     * @param batch the scheduled batch
     * @param samples the size of the first update
     * @param raggedSamples the size of those at ragged ends, 0 if none differ
     */
    record Stretch(Progress first, Progress last, long updates, long batch, long samples, long raggedSamples) {}

    static void walk(TrainingPlan plan, Consumer<Stretch> visitor) {
        List<Double> boundaries = plan.boundaries();
        long samplesPerEpoch = plan.samplesPerEpoch();
        Progress now = plan.start();
        while (!plan.finished(now)) {
            long batch = plan.at(now).batch();
            long limit = Math.min(plan.endSample(), sameBatchBefore(plan, boundaries, now));
            long wholeEpochs = now.samplesIntoEpoch() == 0 ? Math.max(0, limit - now.samples()) / samplesPerEpoch : 0;
            long fullUpdates = Math.min(
                    now.samplesLeftInEpoch() / batch, (Math.max(0, limit - now.samples()) + batch - 1) / batch);
            if (wholeEpochs > 0) {
                long rest = samplesPerEpoch % batch;
                long keptRest = plan.raggedEpoch() == RaggedEpoch.KEEP ? rest : 0;
                long perEpoch = samplesPerEpoch / batch + (keptRest > 0 ? 1 : 0);
                long updates = Math.multiplyExact(wholeEpochs, perEpoch);
                Progress end = jump(now, wholeEpochs * samplesPerEpoch, updates);
                long lastSize = keptRest > 0 ? keptRest : rest + batch;
                Progress last = new Progress(end.samples() - lastSize, end.updates() - 1, samplesPerEpoch);
                visitor.accept(new Stretch(now, last, updates, batch, batch, keptRest));
                now = end;
            } else if (fullUpdates > 1) {
                Progress last = jump(now, (fullUpdates - 1) * batch, fullUpdates - 1);
                visitor.accept(new Stretch(now, last, fullUpdates, batch, batch, 0));
                now = plan.advance(last, batch);
            } else {
                long samples = plan.nextUpdate(now).samples();
                visitor.accept(new Stretch(now, now, 1, batch, samples, 0));
                now = plan.advance(now, samples);
            }
        }
    }

    static List<BatchUse> batchUses(TrainingPlan plan) {
        Map<Long, BatchUse> uses = new LinkedHashMap<>();
        walk(plan, stretch -> {
            long first = stretch.first().samples();
            long last = stretch.last().samples();
            // A stretch with ragged updates is one of whole epochs, each of which ends in one.
            long ragged = stretch.raggedSamples() == 0 ? 0 : (last - first) / plan.samplesPerEpoch() + 1;
            add(uses, new BatchUse(stretch.samples(), stretch.updates() - ragged, first, last));
            if (ragged > 0) {
                add(uses, new BatchUse(stretch.raggedSamples(), ragged, first, last));
            }
        });
        return List.copyOf(uses.values());
    }

    private static void add(Map<Long, BatchUse> uses, BatchUse use) {
        uses.merge(use.samples(), use, BatchUse::and);
    }

    static double exactUpdates(TrainingPlan plan) {
        List<Double> boundaries = plan.boundaries();
        long end = plan.endSample();
        long samplesPerEpoch = plan.samplesPerEpoch();
        double total = 0;
        for (long samples = 0; samples < end; ) {
            Progress now = new Progress(samples, 0, samplesPerEpoch);
            long batch = plan.at(now).batch();
            long limit = Math.min(end, sameBatchBefore(plan, boundaries, now));
            long next = limit > samples ? limit : Math.min(end, nextInstant(boundaries, now, batch));
            total += (double) (next - samples) / batch;
            samples = next;
        }
        return total;
    }

    /** The end of a step of one batch, cut at the next boundary. */
    private static long nextInstant(List<Double> boundaries, Progress now, long batch) {
        long step = now.samples() + batch;
        double boundary = nextBoundary(boundaries, now);
        return Double.isInfinite(boundary)
                ? step
                : Math.min(
                        step, Progress.atEpoch(boundary, now.samplesPerEpoch()).samples());
    }

    /** Updates that begin before this sample have the batch that they would have now. */
    private static long sameBatchBefore(TrainingPlan plan, List<Double> boundaries, Progress now) {
        double until = Math.min(plan.batchHeldUntil(now), nextBoundary(boundaries, now));
        if (until >= plan.epochs()) {
            return plan.endSample();
        }
        return Progress.atEpoch(until, now.samplesPerEpoch()).samples() - MARGIN_SAMPLES;
    }

    private static double nextBoundary(List<Double> boundaries, Progress now) {
        double epochs = now.epochs();
        for (double boundary : boundaries) {
            if (boundary > epochs) {
                return boundary;
            }
        }
        return Double.POSITIVE_INFINITY;
    }

    private static Progress jump(Progress from, long samples, long updates) {
        return new Progress(from.samples() + samples, from.updates() + updates, from.samplesPerEpoch());
    }
}
