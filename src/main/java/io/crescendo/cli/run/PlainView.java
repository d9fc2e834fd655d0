package io.crescendo.cli.run;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.io.PrintWriter;
import java.util.Locale;

/** Progress as lines: one per evaluation, and one every half minute in between. */
final class PlainView implements ProgressView {
    private static final long QUIET_NANOS = 30_000_000_000L;

    private final PrintWriter out;
    private final String label;
    private final Standing standing;
    private long lastLine = System.nanoTime();

    PlainView(PrintWriter out, String label, double epochs) {
        this.out = out;
        this.label = label;
        this.standing = new Standing(epochs);
    }

    @Override
    public void updated(UpdateRecord update) {
        standing.updated(update);
        if (System.nanoTime() - lastLine > QUIET_NANOS) {
            print();
        }
    }

    @Override
    public void evaluated(EvaluationRecord evaluation) {
        standing.evaluated(evaluation);
        print();
    }

    @Override
    public void memoryRefused(Steps.Refusal refusal) {
        out.println(String.format(
                Locale.ROOT,
                "%-10s  the device refused %,.1f MiB for batch %,d; going on with at most %,.1f MiB",
                label,
                refusal.requestedBytes() / 0x1p20,
                refusal.batch(),
                refusal.budgetBytes() / 0x1p20));
        out.flush();
    }

    private void print() {
        lastLine = System.nanoTime();
        out.println(String.format(Locale.ROOT, "%-10s  %s", label, standing.text()));
        out.flush();
    }

    @Override
    public void close() {}
}
