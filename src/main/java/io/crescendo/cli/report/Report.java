package io.crescendo.cli.report;

import com.fasterxml.jackson.databind.JsonNode;
import io.crescendo.cli.figures.Figure;
import io.crescendo.cli.run.Machine;
import io.crescendo.cli.run.PhaseTable;
import io.crescendo.cli.run.ResultTable;
import io.crescendo.cli.run.RunLog;
import io.crescendo.metrics.RunSummary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The page {@code report.html}.
 *
 * @param title heading
 * @param description one line below it, or null
 * @param runs whose results and environment are shown
 * @param figures inlined
 * @param plans text of each plan under its run's label, in order
 * @param configuration as YAML, or null if unknown
 */
public record Report(
        String title,
        @Nullable String description,
        List<RunLog> runs,
        List<Figure> figures,
        Map<String, String> plans,
        @Nullable String configuration) {
    /** The file's name in a folder. */
    public static final String NAME = "report.html";

    private static final String STYLE = """
            body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
            h1, h2 { line-height: 1.2; }
            figure { margin: 1.5rem 0; overflow-x: auto; }
            figure svg { max-width: 100%; height: auto; }
            figcaption { color: #555; }
            table { border-collapse: collapse; }
            th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd; }
            th:first-child, td:first-child { text-align: left; }
            pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 14px; }
            """;

    /** Writes the page into a folder. */
    public Path write(Path folder) throws IOException {
        Path file = folder.resolve(NAME);
        Files.writeString(file, html());
        return file;
    }

    String html() {
        StringBuilder html = new StringBuilder();
        html.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>")
                .append(escaped(title))
                .append("</title>\n<style>\n")
                .append(STYLE)
                .append("</style>\n</head>\n<body>\n");
        html.append("<h1>").append(escaped(title)).append("</h1>\n");
        if (description != null) {
            html.append("<p>").append(escaped(description)).append("</p>\n");
        }
        results(html);
        for (Figure figure : figures) {
            html.append("<figure>\n")
                    .append(figure.svg())
                    .append("\n<figcaption>")
                    .append(escaped(figure.caption()))
                    .append("</figcaption>\n</figure>\n");
        }
        if (!plans.isEmpty()) {
            html.append("<h2>Plan</h2>\n");
            plans.forEach((schedule, text) -> html.append("<h3>")
                    .append(escaped(schedule))
                    .append("</h3>\n<pre>")
                    .append(escaped(text))
                    .append("</pre>\n"));
        }
        phases(html);
        environment(html);
        if (configuration != null) {
            html.append("<h2>Configuration</h2>\n<pre>")
                    .append(escaped(configuration))
                    .append("</pre>\n");
        }
        return html.append("</body>\n</html>\n").toString();
    }

    private void results(StringBuilder html) {
        List<RunSummary> summaries =
                runs.stream().map(RunLog::summary).filter(Objects::nonNull).toList();
        if (summaries.isEmpty()) {
            return;
        }
        html.append("<h2>Results</h2>\n");
        table(html, ResultTable.cells(summaries));
    }

    private void phases(StringBuilder html) {
        List<List<String>> cells = PhaseTable.cells(runs);
        if (cells.size() > 1) {
            html.append("<h2>Phases</h2>\n<p>A switch is the time training stood still for a new batch;"
                    + " behind it stands what the first update, the switch included, took more than the phase's median"
                    + " update, in updates of the phase before too.</p>\n");
            if (runs.stream().anyMatch(run -> !run.gradientNoise().isEmpty())) {
                html.append("<p>The noise scale g = εN/(B(1−m)) is what the schedule sets. The gradient noise scale"
                        + " tr Σ/|G|² is measured at the gradients, in samples: a batch far above it gains little."
                        + "</p>\n");
            }
            table(html, cells);
        }
        List<String> interventions = runs.stream()
                .flatMap(run ->
                        run.interventions().stream().map(text -> run.label() + ", seed " + run.seed() + ": " + text))
                .toList();
        if (!interventions.isEmpty()) {
            html.append("<h2>Refused memory and resumptions</h2>\n<ul>\n");
            interventions.forEach(
                    text -> html.append("<li>").append(escaped(text)).append("</li>\n"));
            html.append("</ul>\n");
        }
    }

    private static void table(StringBuilder html, List<List<String>> lines) {
        html.append("<table>\n");
        String cell = "th";
        for (List<String> line : lines) {
            html.append("<tr>");
            for (String text : line) {
                html.append('<')
                        .append(cell)
                        .append('>')
                        .append(escaped(text))
                        .append("</")
                        .append(cell)
                        .append('>');
            }
            html.append("</tr>\n");
            cell = "td";
        }
        html.append("</table>\n");
    }

    private void environment(StringBuilder html) {
        if (runs.isEmpty()) {
            return;
        }
        JsonNode head = runs.get(0).head();
        html.append("<h2>Environment</h2>\n<table>\n");
        for (String key :
                List.of("crescendo", "commit", "java", "system", "processors", "device", "dataset", "model")) {
            if (head.hasNonNull(key)) {
                row(html, key, head.get(key).asText());
            }
        }
        @Nullable Machine machine = runs.get(0).machine();
        if (machine != null) {
            row(html, Machine.KEY, machine.text());
        }
        html.append("</table>\n");
    }

    private static void row(StringBuilder html, String key, String value) {
        html.append("<tr><td>")
                .append(key)
                .append("</td><td>")
                .append(escaped(value))
                .append("</td></tr>\n");
    }

    private static String escaped(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }
}
