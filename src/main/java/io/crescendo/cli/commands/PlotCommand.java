package io.crescendo.cli.commands;

import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.run.ResultTable;
import io.crescendo.cli.run.RunDirectory;
import io.crescendo.cli.run.RunLabels;
import io.crescendo.cli.run.RunLog;
import io.crescendo.metrics.RunSummary;
import io.crescendo.schedule.PlanVariant;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Draws the figures of recorded runs again. */
@Command(
        name = "plot",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Draws the figures and the report of recorded runs again, also of interrupted ones; of several"
                + " experiments together, each under what its name or folder differs in.",
        footer = {
            "",
            "Examples:",
            "  crescendo plot runs/fashion-mini-quick",
            "  crescendo plot runs/a/increasing runs/b/decaying --out runs/a-and-b",
            "  crescendo plot runs/fashion-figure5-* --out runs/figure5"
        })
public final class PlotCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(arity = "1..*", paramLabel = "RUN_DIR", description = "Folders of runs or comparisons.")
    private List<Path> folders = List.of();

    @Option(names = "--out", paramLabel = "DIR", description = "Where the figures go (default: the first folder).")
    private @Nullable Path out;

    @Override
    public Integer call() throws IOException {
        List<RunLog> runs = new ArrayList<>();
        for (Path folder : folders) {
            runs.addAll(RunLog.below(folder));
        }
        Path target = out != null ? out : folders.get(0);
        RunDirectory.requireWritable(target, out != null);
        @Nullable RunConfig run = folders.size() > 1 ? null : configuration(folders.get(0));
        List<RunLog> labelled = RunLabels.apart(runs);
        List<RunSummary> summaries =
                labelled.stream().map(RunLog::summary).filter(Objects::nonNull).toList();
        if (!summaries.isEmpty()) {
            Commands.out(spec).println(ResultTable.text(summaries));
        }
        Results.write(
                target,
                labelled,
                run == null ? null : run.description(),
                plans(labelled),
                Commands.out(spec),
                Commands.err(spec));
        return 0;
    }

    private static @Nullable RunConfig configuration(Path folder) {
        Path file = folder.resolve("config.yaml");
        return Files.exists(file) ? ConfigSource.of(null, file).load() : null;
    }

    /** The plans behind the runs, where their configurations say how large the training set is. */
    private static Map<String, String> plans(List<RunLog> runs) {
        Map<String, String> plans = new LinkedHashMap<>();
        for (RunLog run : runs) {
            @Nullable RunConfig config = configuration(run.folder());
            Long samples = config == null ? null : config.trainingSamples();
            for (PlanVariant variant : PlanVariant.values()) {
                if (config != null && samples != null && variant.label().equals(run.schedule())) {
                    plans.putIfAbsent(run.label(), Results.text(config.plan(variant, samples)));
                }
            }
        }
        return plans;
    }
}
