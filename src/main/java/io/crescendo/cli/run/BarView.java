package io.crescendo.cli.run;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/** Progress as a bar that redraws itself. */
final class BarView implements ProgressView {
    /** The bar counts thousandths of an epoch: epochs may be fractional. */
    private static final double STEPS_PER_EPOCH = 1000;

    private static final int BAR = 12;
    private static final int SHORTEST_BAR = 3;
    private static final int REDRAW_MILLIS = 200;

    private final Standing standing;
    private final ProgressBar bar;
    private final Lines lines;

    /** Prints lines above the bar, on the thread that draws it: from another one they would tear it apart. */
    private static final class Lines extends ConsoleProgressBarConsumer {
        private final PrintStream out;
        private final Queue<String> waiting = new ConcurrentLinkedQueue<>();
        private int drawn;

        Lines(PrintStream out) {
            super(out);
            this.out = out;
        }

        @Override
        public void accept(String bar) {
            for (String line = waiting.poll(); line != null; line = waiting.poll()) {
                out.println('\r' + line + " ".repeat(Math.max(0, drawn - line.length())));
            }
            super.accept(bar);
            drawn = bar.length();
        }
    }

    BarView(PrintStream out, String label, double epochs, double firstEpoch) {
        this.lines = new Lines(out);
        this.standing = new Standing(epochs, firstEpoch);
        this.bar = new ProgressBarBuilder()
                .setInitialMax(Math.round(epochs * STEPS_PER_EPOCH))
                .setUpdateIntervalMillis(REDRAW_MILLIS)
                .setConsumer(lines)
                .setRenderer((progress, width) -> line(
                        label,
                        Math.min(1, progress.getCurrent() / (double) Math.max(1, progress.getMax())),
                        standing,
                        width))
                .build();
        bar.stepTo(Math.round(firstEpoch * STEPS_PER_EPOCH));
    }

    /** All with names where there is room, less of it where there is not, and the bar as long as it can be. */
    static String line(String label, double done, Standing standing, int width) {
        String percent = String.format(Locale.ROOT, "%-10s %3.0f%% ", label, Math.floor(100 * done));
        String line = percent + bar(done, BAR) + "  " + standing.text();
        if (line.length() <= width) {
            return line;
        }
        String rest = " " + standing.shortText();
        int room = width - label.length() - 1 - 2 - rest.length();
        if (room >= SHORTEST_BAR) {
            return label + " " + bar(done, Math.min(BAR, room)) + rest;
        }
        line = percent + standing.shortestText();
        return line.length() <= width ? line : line.substring(0, Math.max(0, width));
    }

    private static String bar(double done, int cells) {
        int full = (int) Math.floor(done * cells);
        return "|" + "█".repeat(full) + " ".repeat(cells - full) + "|";
    }

    @Override
    public void memoryRefused(Steps.Refusal refusal) {
        lines.waiting.add(PhaseTable.line(refusal));
    }

    @Override
    public void updated(UpdateRecord update) {
        standing.updated(update);
        bar.stepTo(Math.round(update.epoch() * STEPS_PER_EPOCH));
    }

    @Override
    public void gradientNoiseMeasured(GradientNoiseRecord noise) {
        standing.gradientNoiseMeasured(noise);
    }

    @Override
    public void evaluated(EvaluationRecord evaluation) {
        standing.evaluated(evaluation);
    }

    @Override
    public void close() {
        bar.close(); // draws once more, and with it what still waits
    }
}
