package io.crescendo.cli.run;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/** Progress as a bar that redraws itself. */
final class BarView implements ProgressView {
    /** The bar counts thousandths of an epoch: epochs may be fractional. */
    private static final double STEPS_PER_EPOCH = 1000;

    private static final int BAR = 12;
    private static final int REDRAW_MILLIS = 200;

    private final Standing standing;
    private final ProgressBar bar;
    private final List<String> refusals = new ArrayList<>();

    BarView(String label, double epochs, double firstEpoch) {
        this.standing = new Standing(epochs, firstEpoch);
        this.bar = new ProgressBarBuilder()
                .setInitialMax(Math.round(epochs * STEPS_PER_EPOCH))
                .setUpdateIntervalMillis(REDRAW_MILLIS)
                .setConsumer(new ConsoleProgressBarConsumer(System.out))
                .setRenderer((progress, width) -> {
                    double done = Math.min(1, progress.getCurrent() / (double) Math.max(1, progress.getMax()));
                    int full = (int) Math.floor(done * BAR);
                    String percent = String.format(Locale.ROOT, "%-10s %3.0f%%", label, Math.floor(100 * done));
                    String line = percent + " |" + "█".repeat(full) + " ".repeat(BAR - full) + "|  " + standing.text();
                    if (line.length() > width) {
                        line = percent + " " + standing.shortText();
                    }
                    return line.length() <= width ? line : line.substring(0, Math.max(0, width));
                })
                .build();
        bar.stepTo(Math.round(firstEpoch * STEPS_PER_EPOCH));
    }

    @Override
    public void memoryRefused(Steps.Refusal refusal) {
        refusals.add(PhaseTable.line(refusal));
    }

    @Override
    public void updated(UpdateRecord update) {
        standing.updated(update);
        bar.stepTo(Math.round(update.epoch() * STEPS_PER_EPOCH));
    }

    @Override
    public void evaluated(EvaluationRecord evaluation) {
        standing.evaluated(evaluation);
    }

    @Override
    public void close() {
        bar.close();
        // A line in between would tear the bar apart.
        refusals.forEach(System.out::println);
    }
}
