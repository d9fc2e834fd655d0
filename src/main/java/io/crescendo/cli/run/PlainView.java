package io.crescendo.cli.run;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.io.PrintWriter;
import java.util.Locale;

/** Progress as lines: one per phase and evaluation, and one every half minute in between. */
final class PlainView implements ProgressView {
    private static final long QUIET_NANOS = 30_000_000_000L;

    private final PrintWriter out;
    private final String label;
    private final Standing standing;
    private long lastLine = System.nanoTime();

    PlainView(PrintWriter out, String label, double epochs, double firstEpoch) {
        this.out = out;
        this.label = label;
        this.standing = new Standing(epochs, firstEpoch);
    }

    @Override
    public void phaseStarted(PhaseRecord phase) {
        say(PhaseTable.line(phase));
    }

    @Override
    public void memoryRefused(Steps.Refusal refusal) {
        say(PhaseTable.line(refusal));
    }

    @Override
    public void updated(UpdateRecord update) {
        standing.updated(update);
        if (System.nanoTime() - lastLine > QUIET_NANOS) {
            print();
        }
    }

    @Override
    public void gradientNoiseMeasured(GradientNoiseRecord noise) {
        standing.gradientNoiseMeasured(noise);
    }

    @Override
    public void evaluated(EvaluationRecord evaluation) {
        standing.evaluated(evaluation);
        print();
    }

    private void print() {
        lastLine = System.nanoTime();
        say(standing.text());
    }

    private void say(String text) {
        out.println(String.format(Locale.ROOT, "%-10s  %s", label, text));
        out.flush();
    }

    @Override
    public void close() {}
}
