package io.crescendo.cli.run;

import io.crescendo.metrics.RunSummary;
import io.crescendo.schedule.PlanTable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** The results for people: one line per run, and the mean per schedule where there are several seeds. */
public final class ResultTable {
    private static final List<String> HEADER = List.of(
            "schedule",
            "seed",
            "epochs",
            "updates",
            "train loss",
            "test loss",
            "accuracy",
            "images/s",
            "time",
            "workspace");

    private ResultTable() {}

    /** The table's cells, header first; as many in every line. */
    public static List<List<String>> cells(List<RunSummary> summaries) {
        List<List<String>> lines = new ArrayList<>();
        lines.add(HEADER);
        Map<String, List<RunSummary>> bySchedule = new LinkedHashMap<>();
        for (RunSummary summary : summaries) {
            lines.add(line(summary, Long.toString(summary.seed()), ""));
            bySchedule
                    .computeIfAbsent(summary.schedule(), s -> new ArrayList<>())
                    .add(summary);
        }
        bySchedule.forEach((schedule, runs) -> {
            if (runs.size() > 1) {
                lines.add(mean(schedule, runs));
            }
        });
        return lines;
    }

    /** The table for a terminal, without a line break at the end. */
    public static String text(List<RunSummary> summaries) {
        return Columns.text(cells(summaries));
    }

    private static List<String> mean(String schedule, List<RunSummary> runs) {
        RunSummary mean = new RunSummary(
                schedule,
                0,
                average(runs, RunSummary::epochs),
                Math.round(average(runs, RunSummary::updates)),
                average(runs, RunSummary::trainLoss),
                average(runs, RunSummary::testLoss),
                average(runs, RunSummary::testAccuracy),
                average(runs, RunSummary::imagesPerSecond),
                average(runs, RunSummary::seconds),
                runs.stream().mapToLong(RunSummary::peakWorkspaceBytes).max().orElse(0));
        double variance = runs.stream()
                        .mapToDouble(run -> Math.pow(run.testAccuracy() - mean.testAccuracy(), 2))
                        .sum()
                / (runs.size() - 1);
        return line(mean, "mean", String.format(Locale.ROOT, " ± %.2f", 100 * Math.sqrt(variance)));
    }

    private static double average(List<RunSummary> runs, ToDoubleFunction<RunSummary> value) {
        return runs.stream().mapToDouble(value).average().orElse(Double.NaN);
    }

    private static List<String> line(RunSummary summary, String seed, String spread) {
        return List.of(
                summary.schedule(),
                seed,
                PlanTable.number(summary.epochs()),
                format("%,d", summary.updates()),
                format("%.4f", summary.trainLoss()),
                format("%.4f", summary.testLoss()),
                format("%.2f", 100 * summary.testAccuracy()) + spread + " %",
                format("%,.0f", summary.imagesPerSecond()),
                Duration.text(summary.seconds()),
                Columns.mebibytes(summary.peakWorkspaceBytes()));
    }

    private static String format(String pattern, Object value) {
        return String.format(Locale.ROOT, pattern, value);
    }
}
