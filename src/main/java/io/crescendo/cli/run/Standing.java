package io.crescendo.cli.run;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.schedule.PlanTable;
import java.util.Locale;

/** Where a run stands right now, in one line: what both kinds of progress display show. */
final class Standing {
    /** Weight of the newest image in the running means, per image: about the last few thousand count. */
    private static final double FORGETTING = 1.0 / 4000;

    private final double epochs;
    private final double firstEpoch;
    private final long started = System.nanoTime();
    private double epoch;
    private long updates;
    private int batch;
    private double loss = Double.NaN;
    private double accuracy = Double.NaN;
    private double imagesPerSecond = Double.NaN;
    private GradientNoiseMean gradientNoise = GradientNoiseMean.NONE;

    Standing(double epochs, double firstEpoch) {
        this.epochs = epochs;
        this.firstEpoch = firstEpoch;
        this.epoch = firstEpoch;
    }

    synchronized void updated(UpdateRecord update) {
        epoch = update.epoch();
        updates = update.update();
        batch = update.batch();
        double weight = 1 - Math.exp(-FORGETTING * update.batch());
        loss = mixed(loss, update.loss(), weight);
        // A mean of seconds per image, not of images per second, so that slow updates count for their time.
        imagesPerSecond = 1 / mixed(1 / imagesPerSecond, 1 / update.imagesPerSecond(), weight);
    }

    synchronized void evaluated(EvaluationRecord evaluation) {
        accuracy = evaluation.accuracy();
    }

    synchronized void gradientNoiseMeasured(GradientNoiseRecord noise) {
        gradientNoise = noise.mean();
    }

    /** All of it, with names. */
    synchronized String text() {
        return String.format(
                Locale.ROOT,
                "epoch %4s/%s  %,6d updates  batch %,5d  loss %s  accuracy %s  %s images/s%s  %s",
                epochText(),
                PlanTable.number(epochs),
                updates,
                batch,
                known("%6.4f", loss),
                known("%5.2f %%", 100 * accuracy),
                known("%,6.0f", imagesPerSecond),
                gradientNoise.estimates() == 0 ? "" : "  gradient noise " + PhaseTable.scale(gradientNoise),
                time());
    }

    /** The same in few columns. */
    synchronized String shortText() {
        return text("ep %s/%s upd %d B %d loss %s acc %s %s/s %s", time());
    }

    /** The same for narrow terminals; the percentage is the accuracy, the time what is left. */
    synchronized String shortestText() {
        return text("%s/%s ep %,d upd B %d loss %s %s %s/s %s", time().replaceAll("[ a-z]", ""));
    }

    private String text(String pattern, String time) {
        return String.format(
                Locale.ROOT,
                pattern,
                epochText(),
                PlanTable.number(epochs),
                updates,
                batch,
                known("%.3f", loss),
                known("%.1f%%", 100 * accuracy),
                known("%.0f", imagesPerSecond),
                time);
    }

    /** Short runs go by parts of an epoch. */
    private String epochText() {
        return String.format(Locale.ROOT, epochs < 1 ? "%.3f" : "%.1f", epoch);
    }

    private String time() {
        double elapsed = (System.nanoTime() - started) * 1e-9;
        return epoch >= epochs
                ? "took " + Duration.text(elapsed)
                : Duration.text(epoch > firstEpoch ? elapsed * (epochs - epoch) / (epoch - firstEpoch) : Double.NaN)
                        + " left";
    }

    private static double mixed(double old, double now, double weight) {
        return Double.isNaN(old) ? now : old + weight * (now - old);
    }

    private static String known(String pattern, double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, pattern, value);
    }
}
