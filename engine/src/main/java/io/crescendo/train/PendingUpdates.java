package io.crescendo.train;

import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.StepMetrics;
import io.crescendo.metrics.GradientNoise;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.schedule.PlannedUpdate;
import io.crescendo.schedule.Progress;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Updates that the device was told to do and whose loss is not known yet; records them in order once it is.
 *
 * <p>On a device that answers at once nothing ever waits here.
 */
final class PendingUpdates {
    /**
     * Updates the host may be ahead of the device: enough to hide the preparation of the next ones, and few enough that
     * what the screen shows is what happens.
     */
    static final int MOST = 4;

    /**
     * One update on its way.
     *
     * @param before where training stood
     * @param after where it stands once the update is done
     * @param startNanos when the host began with it
     * @param reading its loss, perhaps later
     * @param noise null where it is not measured
     */
    record Update(
            PlannedUpdate planned,
            Progress before,
            Progress after,
            int microBatch,
            int microBatches,
            long workspaceBytes,
            long startNanos,
            StepMetrics.Reading reading,
            @Nullable Noise noise) {}

    /**
     * What the gradient's noise is estimated from.
     *
     * @param sizes samples of the micro-batches
     * @param reading norms of their gradients, perhaps later
     */
    record Noise(List<Integer> sizes, GradientNorms.Reading reading) {}

    /**
     * What is summed over updates.
     *
     * @param epoch the newest, which the two sums after it belong to; −1 before the first update
     * @param epochLoss sum over its samples
     * @param epochSamples their count
     * @param lastLoss mean loss of the last update, or NaN
     * @param samples of all updates
     * @param nanos time they took
     */
    record Totals(long epoch, double epochLoss, long epochSamples, double lastLoss, long samples, long nanos) {
        static final Totals NONE = new Totals(-1, 0, 0, Double.NaN, 0, 0);

        Totals with(long ofEpoch, double lossSum, long batch, long took) {
            boolean same = ofEpoch == epoch;
            return new Totals(
                    ofEpoch,
                    (same ? epochLoss : 0) + lossSum,
                    (same ? epochSamples : 0) + batch,
                    lossSum / batch,
                    samples + batch,
                    nanos + took);
        }

        /** Mean training loss over the newest epoch. */
        double meanLoss() {
            return epochSamples == 0 ? Double.NaN : epochLoss / epochSamples;
        }

        double imagesPerSecond() {
            return nanos == 0 ? 0 : samples / (nanos * 1e-9);
        }
    }

    private final long samplesPerEpoch;
    private final Consumer<UpdateRecord> recorded;
    private final Consumer<GradientNoiseRecord> noiseMeasured;
    private final Deque<Update> queue = new ArrayDeque<>();
    private Totals totals = Totals.NONE;
    private GradientNoiseMean noise = GradientNoiseMean.NONE;
    private long lastDone = Long.MIN_VALUE;
    private @Nullable Update last;

    PendingUpdates(long samplesPerEpoch, Consumer<UpdateRecord> recorded, Consumer<GradientNoiseRecord> noiseMeasured) {
        this.samplesPerEpoch = samplesPerEpoch;
        this.recorded = recorded;
        this.noiseMeasured = noiseMeasured;
    }

    /**
     * Applies an update and records it as soon as its loss is known.
     *
     * @throws NonFiniteLossException if its loss, or that of an earlier one, is not finite; {@code apply} was not
     *     called if the device answered at once
     */
    void add(Update update, Runnable apply) {
        if (update.reading.isDone()) {
            drain(); // those before are done too, and the first bad loss is the one to report
            requireFinite(update);
        }
        apply.run();
        queue.add(update);
        while (!queue.isEmpty()
                && (queue.size() > MOST || queue.element().reading.isDone())) {
            record(queue.remove());
        }
    }

    /**
     * Waits for all of them, and for what came of the last one's gradients: a reading only tells of those before it.
     *
     * @throws NonFiniteLossException if a loss, or a gradient of the last update, is not finite
     */
    void settle(StepMetrics metrics) {
        drain();
        if (last != null && !Double.isFinite(metrics.read().loss())) {
            throw new NonFiniteLossException("a gradient became infinite or NaN at " + where(last));
        }
    }

    private void drain() {
        while (!queue.isEmpty()) {
            record(queue.remove());
        }
    }

    /** Over all recorded updates. */
    Totals totals() {
        return totals;
    }

    /** Means over all recorded updates at which the gradient's noise was measured. */
    GradientNoiseMean noise() {
        return noise;
    }

    /** Goes on from these. */
    void restore(Totals savedTotals, GradientNoiseMean savedNoise) {
        totals = savedTotals;
        noise = savedNoise;
    }

    private void record(Update update) {
        double loss = requireFinite(update);
        // Updates that overlap share the time: each is given what passed since the one before it was done.
        long done = System.nanoTime();
        long nanos = done - (lastDone == Long.MIN_VALUE ? update.startNanos : Math.max(lastDone, update.startNanos));
        lastDone = done;
        last = update;
        int batch = Math.toIntExact(update.planned.samples());
        StepMetrics.Sums sums = update.reading.sums();
        totals = totals.with(update.before.epoch(), sums.loss(), batch, nanos);
        recorded.accept(new UpdateRecord(
                update.after.updates(),
                update.after.samples(),
                update.after.epochs(),
                batch,
                update.microBatch,
                update.microBatches,
                update.planned.phase().learningRate(),
                update.planned.phase().momentum(),
                update.planned.noiseScale(samplesPerEpoch).approximate(),
                loss,
                (double) sums.hits() / batch,
                nanos,
                update.workspaceBytes));
        if (update.noise != null) {
            recordNoise(update, update.noise);
        }
    }

    /** Behind the loss, which the device answered later: nothing waits here. */
    private void recordNoise(Update update, Noise measured) {
        GradientNorms.Squares squares = measured.reading.squares();
        GradientNoise estimate = GradientNoise.of(measured.sizes, squares.microBatches(), squares.batch());
        noise = noise.with(estimate);
        noiseMeasured.accept(new GradientNoiseRecord(
                update.after.updates(),
                update.after.epochs(),
                Math.toIntExact(update.planned.samples()),
                measured.sizes.size(),
                estimate,
                noise));
    }

    private double requireFinite(Update update) {
        double loss = update.reading.sums().loss() / update.planned.samples();
        if (!Double.isFinite(loss)) {
            throw new NonFiniteLossException("the loss became " + loss
                    + (Double.isNaN(loss) ? ", or a gradient of the update before was not finite," : "") + " at "
                    + where(update));
        }
        return loss;
    }

    private String where(Update update) {
        PlannedUpdate planned = update.planned;
        Progress before = update.before;
        return "update " + (before.updates() + 1) + " (epoch " + before.epoch() + ", samples "
                + before.samplesIntoEpoch() + " to " + (before.samplesIntoEpoch() + planned.samples())
                + " of it, batch "
                + planned.samples() + ", learning rate " + planned.phase().learningRate() + ", momentum "
                + planned.phase().momentum() + "); "
                + (Double.isNaN(totals.lastLoss)
                        ? "no update had a finite loss"
                        : "the last finite loss was " + totals.lastLoss)
                + ". Lower the learning rate or add a warm-up";
    }
}
