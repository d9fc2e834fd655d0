package io.crescendo.cli.commands;

import io.crescendo.cli.figures.ComparisonFigures;
import io.crescendo.cli.figures.Figure;
import io.crescendo.cli.figures.FigureFiles;
import io.crescendo.cli.report.Report;
import io.crescendo.cli.run.RunLog;
import io.crescendo.schedule.TrainingPlan;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Draws recorded runs, writes their report and says where everything is. */
final class Results {
    private Results() {}

    /** A plan's table, and below it what is unwise about the plan. */
    static String text(TrainingPlan plan) {
        StringBuilder text = new StringBuilder(plan.table().text());
        plan.warnings().forEach(warning -> text.append("\nnote: ").append(warning));
        return text.toString();
    }

    /**
     * Writes figures and report into a folder.
     *
     * @param plans text of each schedule's plan, for the report
     */
    static void write(
            Path folder,
            List<RunLog> runs,
            @Nullable String description,
            Map<String, String> plans,
            PrintWriter out,
            PrintWriter err)
            throws IOException {
        List<Figure> figures = ComparisonFigures.of(runs);
        FigureFiles.Outcome drawn = new FigureFiles(folder).write(figures);
        Path configuration = folder.resolve("config.yaml");
        List<String> names = runs.stream()
                .map(run -> run.head().path("name").asText())
                .distinct()
                .toList();
        String name = names.size() == 1 && !names.get(0).isEmpty()
                ? names.get(0)
                : String.valueOf(folder.toAbsolutePath().normalize().getFileName());
        Path report = new Report(
                        name,
                        description,
                        runs,
                        figures,
                        plans,
                        Files.exists(configuration) ? Files.readString(configuration) : null)
                .write(folder);
        out.println();
        for (Path file : drawn.files()) {
            out.println("figure   " + file);
        }
        out.println("report   " + report);
        out.flush();
        if (drawn.pngFault() != null) {
            err.println("crescendo: no PNG files: " + drawn.pngFault());
            err.flush();
        }
    }
}
